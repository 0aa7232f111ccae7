"""A store on SQLite, and one on a PostgreSQL of this machine, if it has one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_ports

from fovea_server.studies.database import Database
from fovea_server.studies.observations import Observations
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Store
from fovea_server.studies.truth import NothingKnown


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL that was started for the tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    programs = found[-1].parent if found else Path(shutil.which("initdb") or "/nowhere/initdb").parent
    if not (programs / "initdb").exists():
        pytest.skip("no PostgreSQL is installed on this machine (initdb is not found)")
    pytest.importorskip("psycopg", reason="the extra [postgresql] is not installed")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        user = _unprivileged(folder)
        data = f"{folder}/data"
        run = {"check": True, "capture_output": True, "user": user, "cwd": folder}
        subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "fovea", "-N"], **run)  # type: ignore[call-overload]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        start = [programs / "pg_ctl", "-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start"]
        subprocess.run(start, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            yield f"postgresql+psycopg://fovea@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]


def _unprivileged(folder: str) -> int | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return user.pw_uid


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/experiments.db"
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture
def readouts(url: str) -> Iterator[Readouts]:
    """Over an empty store."""
    database = Database(url)
    with database.write() as connection:
        from fovea_server.studies import tables

        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())
    yield Readouts(Store(database), Observations(database), NothingKnown())
    database.close()


@pytest.fixture
def store(readouts: Readouts) -> Store:
    return readouts.store
