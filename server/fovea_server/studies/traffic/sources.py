"""Where the images of a window are read from: the feature log, or a Parquet file that `fovea features export` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from fovea_server.feature_log import schema, sql
from fovea_server.feature_log.reading import Reader
from fovea_server.studies.traffic.windows import Window

_JOINED = pa.schema([*schema.RECORDS, *schema.TRUTH])
_NEEDED = ("time", "model", "outcome", "image_sha256")


class Source(Protocol):
    """`str` of it says what it is, for people."""

    def rows(self, columns: str, only: str, rest: str = "", *, labelled: bool = False) -> pa.Table:
        """SELECT `columns` of the joined records of which `only`, a condition on records, is true, and the `rest` of
        the question; of those alone whose truth is known, if `labelled`."""


@dataclass(frozen=True)
class LoggedWindow:
    """A window of a log, with the labels known at `as_of`. Raises duckdb.Error or OSError when it is asked."""

    reader: Reader
    window: Window
    as_of: datetime

    def __str__(self) -> str:
        return str(self.window)

    def rows(self, columns: str, only: str, rest: str = "", *, labelled: bool = False) -> pa.Table:
        within = f"time < {sql.moment(self.window.end)} AND ({only})"
        asked = f"SELECT {columns} FROM joined WHERE {_known(labelled)} {rest}"  # noqa: S608
        return self.reader.query(asked, self.as_of, self.window.begin, within)

    def anywhere(self) -> Window | None:
        """From the first to the last record of the log; None where it has none."""
        found = self.reader.query("SELECT min(time) AS begin, max(time) AS end FROM records", self.as_of).to_pylist()
        return Window(**found[0]) if found[0]["begin"] else None


class ExportedFile:
    """All of a file. Raises ValueError where it is none of ours, OSError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        self._path = path
        try:
            found = ds.dataset(str(path), format="parquet").schema.names
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is no Parquet file: {str(error).splitlines()[0][:200]}") from None
        if missing := [name for name in _NEEDED if name not in found]:
            raise ValueError(f"{path} has no column {', '.join(missing)}; `fovea features export` writes them all")
        self._dataset = ds.dataset(str(path), schema=_JOINED, format="parquet")

    def __str__(self) -> str:
        return self._path.name

    def rows(self, columns: str, only: str, rest: str = "", *, labelled: bool = False) -> pa.Table:
        asked = f"SELECT {columns} FROM joined WHERE ({only}) AND {_known(labelled)} {rest}"  # noqa: S608
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("joined", self._dataset)
            return connection.sql(asked).to_arrow_table()


def _known(labelled: bool) -> str:
    return "correct IS NOT NULL" if labelled else "true"
