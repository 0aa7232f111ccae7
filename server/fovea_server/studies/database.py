"""The way to the database of the experiments: a file of SQLite, or a PostgreSQL by its URL."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from fovea_server.errors import ExperimentsUnavailable, StartError
from fovea_server.studies import tables

_PATIENCE = 1.0  # seconds to wait for a lock, or for PostgreSQL
_MOMENT = 0.1  # seconds between two tries
FILE = "experiments.db"


def url_of(url: str, state: Path) -> str:
    """As given, or a file in the state folder. Raises StartError for what is no database."""
    if not url:
        return f"sqlite:///{state / FILE}"
    try:
        if make_url(url).get_backend_name() in ("sqlite", "postgresql"):
            return url
    except (ArgumentError, ValueError):  # of a port that is no number, which may be a password
        pass
    scheme = url.partition("://")[0] if "://" in url else "what was given"  # the rest may hold a password
    raise StartError(
        f"{scheme} is not the URL of a SQLite file or a PostgreSQL",
        "sqlite:////folder/experiments.db, or postgresql+psycopg://user:password@host/database",
    ) from None


class Database:
    """Connections that are opened when needed. Every fault of the database is ExperimentsUnavailable."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._file = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
        self._is_made = False
        try:
            if self._file is not None:
                self._engine = create_engine(parsed, connect_args={"timeout": _PATIENCE, "check_same_thread": False})
                event.listen(self._engine, "connect", _sqlite_connected)
                event.listen(self._engine, "begin", _sqlite_begun)
            else:
                wait = {"connect_timeout": 2, "options": f"-c statement_timeout={_PATIENCE * 1000:.0f}"}
                self._engine = create_engine(parsed, connect_args=wait, pool_pre_ping=True)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise StartError(str(error), "pip install 'fovea-server[postgresql]'") from error

    @property
    def exists(self) -> bool:
        """Whether there is something to be read; a PostgreSQL is taken to be there."""
        return self._file is None or self._file.is_file()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        with _faults_told():
            self._make()
            with self._engine.connect() as connection:
                yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it happens, or nothing."""
        with _faults_told():
            self._make()
            with self._writing() as connection:
                yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _make(self) -> None:
        if self._is_made:
            return
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._engine.connect() as connection:
            missing = tables.metadata.tables.keys() - set(inspect(connection).get_table_names())
        if missing:  # only then: to make tables is to wait for who writes
            try:
                self._make_tables()
            except (ProgrammingError, OperationalError, IntegrityError):  # another process makes them just now
                time.sleep(_MOMENT)
                self._make_tables()
        self._is_made = True

    def _make_tables(self) -> None:
        with self._writing() as connection:
            tables.metadata.create_all(connection)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(fovea_writes=True) as connection, connection.begin():
            yield connection


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ExperimentsUnavailable(f"the store of experiments does not answer: {cause}", retry_after=5.0) from error


def _sqlite_connected(connection: Any, _: Any) -> None:
    """Readers and one writer do not wait for each other, and what is committed survives the end of the process."""
    connection.isolation_level = None  # the driver's own transactions begin too late
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:  # only for this SQLite waits for no lock
            if time.monotonic() > until:
                raise
            time.sleep(_MOMENT)
    connection.execute("PRAGMA synchronous = NORMAL")


def _sqlite_begun(connection: Connection) -> None:
    """Who is going to write says so first, or two who read before they write would lock each other out."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("fovea_writes") else "BEGIN")
