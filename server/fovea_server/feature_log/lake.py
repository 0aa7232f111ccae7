"""The Parquet files of a log: `records/day=2026-11-21/NAME.parquet`, `feedback/...`, and what is being replaced.

Files are never changed. What is to change is written anew beside the old, and a note says which files the new one
replaces until they are gone: a reader who finds the new file ignores those, and whoever is killed between leaves
nothing twice. On a local disk a file appears whole because it is renamed; an object store shows only whole objects.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from fovea_server.feature_log import schema
from fovea_server.feature_log.segments import Segment

_RENAMES = ("local", "subtree", "mock", "hdfs")  # the others show a file when it is whole
_ROW_GROUP = 16_384
_NOTE = "replacing.json"


@dataclass(frozen=True)
class LakeFile:
    """`path` is relative to the lake."""

    path: str
    size: int
    changed: float  # seconds since 1970

    @property
    def kind(self) -> str:
        return self.path.split("/", 1)[0]

    @property
    def day(self) -> str:
        return self.path.split("day=", 1)[1][:10] if "day=" in self.path else ""


@dataclass(frozen=True)
class Replacing:
    """Which files and segments are being replaced, and by which files; nothing at most times."""

    old: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    done: bool = True  # whether the new ones are all there

    @property
    def hidden(self) -> frozenset[str]:
        """The files that do not count."""
        return self.old if self.done else self.new

    @property
    def hidden_segments(self) -> frozenset[str]:
        return self.segments if self.done else frozenset()


class Lake:
    """Make one with `open`."""

    def __init__(self, files: fs.FileSystem, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    @classmethod
    def open(cls, location: str) -> Lake:
        """At a folder or a URL (s3://, gs://, abfs://, hdfs://). ValueError or OSError where it is none."""
        return cls(*fs.FileSystem.from_uri(os.fspath(location)))

    def files(self, kind: str) -> list[LakeFile]:
        """Parquet files of a kind in the order of days, as if what is being replaced had been so at once."""
        hidden = self.replacing().hidden
        found = [file for file in self.below(kind) if file.path.endswith(".parquet") and file.path not in hidden]
        return sorted(found, key=lambda file: file.path)

    def below(self, folder: str) -> list[LakeFile]:
        """All files in a folder and its folders; those that are being written have a name with a dot in front."""
        selector = fs.FileSelector(self._at(folder), recursive=True, allow_not_found=True)
        return [
            LakeFile(info.path[len(self._root) :].lstrip("/"), info.size, info.mtime.timestamp() if info.mtime else 0.0)
            for info in self._files.get_file_info(selector)
            if info.type == fs.FileType.File and not info.base_name.startswith(".")
        ]

    def dataset(self, kind: str, files: Sequence[LakeFile] | None = None) -> ds.Dataset:
        """Rows as `schema` says, whatever older columns their files have."""
        chosen = self.files(kind) if files is None else files
        wanted = schema.BY_KIND[kind]
        if not chosen:
            return ds.dataset(wanted.empty_table())
        paths = [self._at(file.path) for file in chosen]
        return ds.dataset(paths, schema=wanted, format="parquet", filesystem=self._files)

    def new_name(self, kind: str, day: str) -> str:
        return f"{kind}/day={day}/{uuid.uuid4().hex}.parquet"

    def write_table(self, path: str, table: pa.Table) -> None:
        """`table` as one Parquet file, sorted by image, so that a look-up by image reads one row group of it."""
        if "image_sha256" in table.column_names:
            table = table.sort_by([("image_sha256", "ascending"), ("time", "ascending")])
        sink = pa.BufferOutputStream()
        lean = table.cast(schema.stored(table.schema))
        pq.write_table(lean, sink, compression="zstd", row_group_size=_ROW_GROUP)
        self.write(path, sink.getvalue())

    def write(self, path: str, content: bytes | pa.Buffer) -> None:
        """A whole file or none."""
        target = self._at(path)
        folder, _, name = target.rpartition("/")
        self._files.create_dir(folder, recursive=True)
        draft = f"{folder}/.{name}" if self._files.type_name in _RENAMES else target
        try:
            with self._files.open_output_stream(draft) as stream:
                stream.write(content)
        except BaseException:
            if draft != target and self.exists(draft, within=False):
                self._files.delete_file(draft)
            raise
        if draft != target:
            self._files.move(draft, target)

    def read(self, path: str) -> bytes:
        with self._files.open_input_stream(self._at(path)) as stream:
            return bytes(stream.read())

    def exists(self, path: str, *, within: bool = True) -> bool:
        return bool(self._files.get_file_info(self._at(path) if within else path).type == fs.FileType.File)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self.exists(path):
                self._files.delete_file(self._at(path))

    def replacing(self) -> Replacing:
        if not self.exists(_NOTE):
            return Replacing()
        note = {name: frozenset(each) for name, each in orjson.loads(self.read(_NOTE)).items()}
        return Replacing(**note, done=all(self.exists(path) for path in note["new"]))

    def replace(self, old: Iterable[str], new: Mapping[str, pa.Table], segments: Iterable[Segment] = ()) -> None:
        """Put tables, by path, into the place of files and segments, as one step for whoever reads."""
        gone = list(segments)
        note = {"old": list(old), "new": list(new), "segments": [segment.path.name for segment in gone]}
        self.write(_NOTE, orjson.dumps(note))
        for path, table in new.items():
            self.write_table(path, table)
        for segment in gone:
            segment.path.unlink(missing_ok=True)
        self.delete([*note["old"], _NOTE])

    def finish(self, segments: Path) -> None:
        """Bring to its end what was cut off, or undo it; for whoever holds the lock."""
        cut = self.replacing()
        for name in cut.hidden_segments:
            (segments / name).unlink(missing_ok=True)
        self.delete([*sorted(cut.hidden), _NOTE])

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"
