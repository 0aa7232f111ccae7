"""Captured images: whole or not there, whoever else captures the same one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

from fovea_server.feature_log import captures
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.compaction import compact
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.queue import Queue
from fovea_server.feature_log.rows import Record, Rows
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.feature_log.writer import Writer
from fovea_server.metrics import Metrics

_MANY = """
import hashlib
import sys
from pathlib import Path
from fovea_server.feature_log.captures import Spooled

spooled = Spooled(Path(sys.argv[1]), 1 << 30)
for number in range(300):
    image = number.to_bytes(4, "big") * 25_000
    sys.stdin.readline()
    print(spooled.keep(hashlib.sha256(image).hexdigest(), image), flush=True)
"""


def _digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def test_processes_that_capture_the_same_images_do_not_meet(tmp_path: Path) -> None:
    """Each image is captured by both at once: they go on to the next together."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _MANY, tmp_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    try:
        for _ in range(300):
            for each in both:
                assert each.stdin is not None
                each.stdin.write("next\n")
            for each in both:
                assert each.stdout is not None
                assert each.stdout.readline() == "True\n"
    finally:
        for each in both:
            each.communicate(timeout=30)
    kept = list(captures.waiting(tmp_path))
    assert len(kept) == len(list((tmp_path / captures.FOLDER).iterdir())) == 300
    assert all(_digest(path.read_bytes()) == path.name for path in kept)


def test_an_image_that_cannot_be_kept_takes_no_other_with_it(where: Places, metrics: Metrics) -> None:
    settings = FeatureLogSettings("x", capture=1)
    writer = Writer(where, settings, Queue(1, 1, metrics), Rows(settings, Pseudonyms(where.state), metrics), metrics)
    images = [b"%d" % number for number in range(3)]
    unspeakable = Record(0.0, (), "f" * 300, b"picture")  # no file system takes such a name
    writer._capture([unspeakable, *(Record(0.0, (), _digest(image), image) for image in images)])
    assert {path.read_bytes() for path in captures.waiting(where.spool)} == set(images)
    assert metrics.registry.get_sample_value("fovea_feature_log_errors_total", {"at": "write"}) == 1


def test_an_image_that_a_power_cut_left_empty_never_gets_into_the_lake(where: Places) -> None:
    digest, lake = _digest(b"picture"), Lake.of(where)
    captures.Spooled(where.spool, 1 << 20).keep(digest, b"picture")
    (where.spool / captures.FOLDER / digest).write_bytes(b"")
    done = compact(where, lake)
    assert done.captured == 0
    assert "not whole" in done.reasons[0]
    captures.Spooled(where.spool, 1 << 20).keep(digest, b"picture")  # sent again
    assert compact(where, lake).captured == 1
    assert lake.read(captures.path_of(digest)) == b"picture"


def test_what_a_killed_gateway_left_half_written_is_no_image_and_forgotten_with_it(where: Places) -> None:
    digest = _digest(b"picture")
    captures.Spooled(where.spool, 1 << 20).keep(digest, b"picture")
    draft = where.spool / captures.FOLDER / f".{digest}.123-abc.draft"
    draft.write_bytes(b"pic")
    assert [path.name for path in captures.waiting(where.spool)] == [digest]
    captures.forget([digest], where.spool)
    assert not list(draft.parent.iterdir())


def test_what_a_killed_gateway_left_half_written_is_deleted_once_nobody_can_be_writing_it(where: Places) -> None:
    folder = where.spool / captures.FOLDER
    folder.mkdir(parents=True)
    old, new, other = folder / ".old.1-a.draft", folder / ".new.1-a.draft", folder / ".keep"
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    compact(where, Lake.of(where))
    assert set(folder.iterdir()) == {new, other}
