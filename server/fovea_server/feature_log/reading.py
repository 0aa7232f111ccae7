"""Read a feature log: records, feedback, and both joined as of a moment. The one door for whoever studies it.

    reader = Reader(Places.of("/var/lib/fovea/log", state))
    table = reader.joined(as_of=monday, since=friday, columns=["arm", "correct", "model_ms"])   # pyarrow.Table
    table = reader.query("SELECT arm, avg(correct::INT) FROM joined GROUP BY arm", as_of=monday)

It sees what a gateway was told at least half a second ago: what is compacted, and what is not yet. It holds no lock and
hurts nobody who writes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb
import pyarrow as pa

from fovea_server.feature_log import captures, segments, sql, tables
from fovea_server.feature_log.joining import JOINED
from fovea_server.feature_log.lake import Lake, LakeFile
from fovea_server.feature_log.places import Places

_CAME = {"records": "time", "feedback": "received"}  # the columns that say when
_TRIES = 5  # files are replaced while they are read; every few minutes at most
_DIGEST = re.compile(r"[0-9a-fA-F]{64}\Z")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Snapshot:
    """What the log was made of at one moment."""

    files: dict[str, list[LakeFile]]
    fresh: dict[str, pa.Table]
    torn_bytes: int


class Reader:
    """Answers in Arrow tables; each call sees the log as it then is."""

    def __init__(self, places: Places, threads: int | None = None) -> None:
        """`threads` of DuckDB; as many as there are cores if not given. Raises ValueError or OSError for a bad URL."""
        self._places = places
        self._threads = threads
        self.lake = Lake.open(places.lake)

    def joined(
        self, as_of: datetime | None = None, since: datetime | None = None, columns: Sequence[str] = ("*",)
    ) -> pa.Table:
        """Records given from `since` until `as_of` (now if not given), each with the label known at `as_of`.

        One row for each model that answered, and one for a refused request; the columns are those of `schema.RECORDS`
        and `schema.TRUTH`, or the `columns` named. No order. Times are with their zone.
        """
        chosen = ", ".join(name if name == "*" else sql.name(name) for name in columns)
        return self.query(f"SELECT {chosen} FROM joined", as_of, since)  # noqa: S608 - quoted

    def of_image(self, digest: str, as_of: datetime | None = None, most: int = 100) -> pa.Table:
        """The same of one image, by the SHA-256 of its bytes in hexadecimal; the last `most` records, last first."""
        if not _DIGEST.match(digest):
            raise ValueError(f"{digest[:80]!r} is not 64 hexadecimal digits")
        newest = f"SELECT * FROM joined ORDER BY time DESC LIMIT {most:d}"  # noqa: S608 - a number
        return self.query(newest, as_of, only=f"image_sha256 = '{digest.lower()}'")

    def captured(self, digest: str) -> bytes | None:
        """The image with this SHA-256, where its bytes are kept."""
        with contextlib.suppress(OSError):
            return self.lake.read(captures.path_of(digest))
        with contextlib.suppress(OSError):
            return (self._places.spool / captures.FOLDER / digest).read_bytes()
        return None

    def query(
        self, sql: str, as_of: datetime | None = None, since: datetime | None = None, only: str = "true"
    ) -> pa.Table:
        """DuckDB's answer to one SELECT over the tables `records`, `feedback` and `joined`. Raises duckdb.Error for bad
        SQL, and for what is no such question: it would be answered into nothing, or write files.

        None of them knows what came after `as_of`, now if not given. `since` and `only`, a condition on records in SQL,
        narrow `joined` alone.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self.connect(as_of, since, only) as connection:
                    return connection.sql(_one_question(connection, sql)).to_arrow_table()
            except (duckdb.Error, OSError) as error:
                if not left or ("o such file" not in str(error) and not isinstance(error, FileNotFoundError)):
                    raise
        raise AssertionError("unreachable")

    def connect(
        self, as_of: datetime | None = None, since: datetime | None = None, only: str = "true"
    ) -> duckdb.DuckDBPyConnection:
        """A connection with those tables, of this moment's log; close it soon, for files are replaced."""
        snapshot = self.snapshot()
        known_by = sql.moment(as_of or datetime.now(timezone.utc))
        connection = duckdb.connect(config={"threads": self._threads} if self._threads else {})
        connection.execute("SET TimeZone = 'UTC'")
        for kind, files in snapshot.files.items():
            connection.register(f"compacted_{kind}", self.lake.dataset(kind, files))
            connection.register(f"fresh_{kind}", snapshot.fresh[kind])
            both = f"(SELECT * FROM compacted_{kind} UNION ALL SELECT * FROM fresh_{kind})"  # noqa: S608
            known = f"{both} WHERE {_CAME[kind]} <= {known_by}"
            connection.execute(f"CREATE TEMP VIEW {kind} AS SELECT * FROM {known}")  # noqa: S608 - our own names
        joined = JOINED.replace("$only", f"({only})").replace("$since", sql.moment(since or _LONG_AGO))
        connection.execute(f"CREATE TEMP VIEW joined AS {joined}")
        return connection

    def snapshot(self) -> Snapshot:
        """Taken again where something was compacted meanwhile, so that no row is missing or there twice."""
        for _ in range(_TRIES):
            before = self._files()
            hidden = {name for each in self.lake.replacing() for name in each.hidden_segments}
            fresh = [each for each in segments.all_of(self._places.segments) if each.path.name not in hidden]
            with contextlib.suppress(FileNotFoundError):
                found = tables.of_segments(fresh)
                if before == self._files():
                    return Snapshot(before, found.tables, found.torn_bytes)
        raise OSError(f"the log at {self._places.shown} changed {_TRIES} times while it was read")

    def _files(self) -> dict[str, list[LakeFile]]:
        return {kind: self.lake.files(kind) for kind in ("records", "feedback")}


def _one_question(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise duckdb.InvalidInputException(f"one SELECT is answered, and this is {_told(statements)}")
    return statements[0]


def _told(statements: Sequence[duckdb.Statement]) -> str:
    if len(statements) == 1:
        return statements[0].type.name
    return f"{len(statements)} statements" if statements else "empty"
