"""The Parquet files of a log: `records/day=2026-11-21/ORIGIN-NAME.parquet`, `feedback/...`, and what is being replaced.

Files are never changed. What is to change is written anew beside the old, and a note says which files the new ones
replace until they are gone: a reader who finds all the new files ignores the old, else the new, and whoever is killed
between leaves nothing twice. On a local disk a file appears whole because it is renamed; an object store shows only
whole objects.

Several machines may write to one lake. Each has an origin, a name of its own in those of its files and of its note, and
replaces only what it has written itself.
"""

from __future__ import annotations

import os
import re
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
from fovea_server.feature_log.places import Places, without_secrets
from fovea_server.feature_log.segments import Segment

_RENAMES = ("local", "subtree", "mock", "hdfs")  # the others show a file when it is whole
_ROW_GROUP = 16_384
_NOTE = "replacing-"  # and the origin
_NAME = re.compile(r"\w+/day=(\d{4}-\d\d-\d\d)/([0-9a-f]{8})-[0-9a-f]{32}\.parquet\Z")  # day and origin


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
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def day(self) -> str:
        """As in 2026-11-21, UTC; "" where it holds no rows of ours."""
        return named[1] if (named := _NAME.match(self.path)) else ""

    @property
    def origin(self) -> str:
        """Whose rows it holds; "" where they are not ours."""
        return named[2] if (named := _NAME.match(self.path)) else ""


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
    """Make one with `open` to read, with `of` to write."""

    def __init__(self, files: fs.FileSystem, root: str, origin: str = "") -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._origin = origin
        self._note = f"{_NOTE}{origin}.json"

    @classmethod
    def open(cls, location: str, origin: str = "") -> Lake:
        """At a folder or a URL (s3://, gs://, abfs://, hdfs://). ValueError or OSError where it is none."""
        try:
            files, root = fs.FileSystem.from_uri(location)
        except (OSError, ValueError, NotImplementedError) as error:  # whose words have the URL in them
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(without_secrets(str(error))) from None
        return cls(files, root, origin)

    @classmethod
    def of(cls, places: Places) -> Lake:
        """For whoever writes from this machine."""
        return cls.open(places.lake, places.origin())

    def files(self, kind: str) -> list[LakeFile]:
        """Parquet files of a kind in the order of days, as if what is being replaced had been so at once.

        What else somebody has put into the folder, under names that we do not give, is none of the log's.
        """
        hidden = {path for each in self.replacing() for path in each.hidden}
        found = [file for file in self.below(kind) if file.day and file.path not in hidden]
        return sorted(found, key=lambda file: file.path)

    def own_files(self, kind: str) -> list[LakeFile]:
        """Those that this machine has written, and may replace."""
        return [file for file in self.files(kind) if file.origin == self._origin]

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
        return f"{kind}/day={day}/{self._origin}-{uuid.uuid4().hex}.parquet"

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
            self._sync(draft)
            if draft != target:
                self._files.move(draft, target)
        except BaseException:
            if draft != target and self._is_file(draft):
                self._files.delete_file(draft)
            raise
        if draft != target:
            self._sync(folder)

    def read(self, path: str) -> bytes:
        with self._files.open_input_stream(self._at(path)) as stream:
            return bytes(stream.read())

    def exists(self, path: str) -> bool:
        return self._is_file(self._at(path))

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self.exists(path):
                self._files.delete_file(self._at(path))

    def replacing(self) -> list[Replacing]:
        """What each machine is replacing: nothing at most times."""
        selector = fs.FileSelector(self._root, allow_not_found=True)
        names = [info.base_name for info in self._files.get_file_info(selector)]
        return [self._noted(name) for name in names if name.startswith(_NOTE)]

    def replace(self, old: Iterable[str], new: Mapping[str, pa.Table], segments: Iterable[Segment] = ()) -> None:
        """Put tables, by path, into the place of files and segments, as one step for whoever reads."""
        gone = list(segments)
        note = {"old": list(old), "new": list(new), "segments": [segment.path.name for segment in gone]}
        self.write(self._note, orjson.dumps(note))
        for path, table in new.items():
            self.write_table(path, table)
        for segment in gone:
            segment.path.unlink(missing_ok=True)
        self.delete([*note["old"], self._note])

    def finish(self, segments: Path) -> None:
        """Bring to its end what was cut off here, or undo it; for whoever holds the lock."""
        cut = self._noted(self._note)
        for name in cut.hidden_segments:
            (segments / name).unlink(missing_ok=True)
        self.delete([*sorted(cut.hidden), self._note])

    def _noted(self, name: str) -> Replacing:
        try:
            said = orjson.loads(self.read(name))
        except FileNotFoundError:
            return Replacing()
        note = {word: frozenset(each) for word, each in said.items()}
        return Replacing(**note, done=all(self.exists(path) for path in note["new"]))

    def _is_file(self, path: str) -> bool:
        return bool(self._files.get_file_info(path).type == fs.FileType.File)

    def _sync(self, path: str) -> None:
        """Onto the disk, before what it replaces is deleted; whoever keeps objects does that by itself."""
        if self._files.type_name != "local":
            return
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"
