"""A gateway that is killed, and a disk that is full: in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests import small_disk
from tests.conftest import ROOT
from tests.feature_log.made_up import places

from fovea_server.feature_log import segments
from fovea_server.feature_log.compaction import compact
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.reading import Reader

_HERE = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}


def test_a_gateway_killed_by_sigkill_loses_at_most_the_last_second(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.feature_log.crashing", tmp_path], stdout=subprocess.PIPE, text=True, **_HERE
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(2.5)
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    offered = [line.split() for line in [first, *process.stdout] if line.endswith("\n")]
    process.wait(10)
    where = places(tmp_path)
    kept = {int(row) for row in Reader(where).query("SELECT id FROM records")["id"].to_pylist()}
    due = {int(number) for number, moment in offered if float(moment) < killed - 1}
    assert len(due) > 100
    assert due <= kept
    (segment,) = segments.closed(where.segments)  # nobody holds it any more
    compact(where, Lake.of(where))
    assert not segment.path.exists()
    assert {int(row) for row in Reader(where).query("SELECT id FROM records")["id"].to_pylist()} == kept


def test_a_full_disk_drops_records_refuses_feedback_and_writing_goes_on_once_there_is_room(tmp_path: Path) -> None:
    said = small_disk.said_on(tmp_path, "tests.feature_log.full_disk")
    assert said["feedback"] == "it cannot be written: No space left on device"
    assert said["dropped_after"] < 20
    assert said["resumed_after"] < 10
