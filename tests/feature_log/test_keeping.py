from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import psutil
import pytest
from tests.conftest import children_running
from tests.feature_log.made_up import record, write
from tests.waiting import eventually

from fovea_server.feature_log import captures, keeping
from fovea_server.feature_log.keeping import Keeping
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.metrics import Metrics

_SETTINGS = FeatureLogSettings("x", days=100_000, never_captured=frozenset({"alice"}), keeper_seconds=0.2)


def _errors(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("fovea_feature_log_errors_total", {"at": "compaction"}) or 0.0


async def test_a_keeper_that_dies_is_started_again_and_the_death_is_counted(
    where: Places, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_AGAIN", 0.1)
    keeper = Keeping(where, _SETTINGS, metrics)
    write(where, [record("a")])
    keeper.start()
    await eventually(lambda: len(Lake.of(where).files("records")) == 1, 30)
    (first,) = _keepers()
    first.kill()
    await eventually(lambda: _errors(metrics) == 1, 30)
    write(where, [record("b", image_orientation=9)])
    await keeper_has_seen_it(metrics)
    await keeper.stop()
    assert not first.is_running()
    assert not _keepers()


def _keepers() -> list[psutil.Process]:
    """Of this process, which may have children of other tests, too."""
    return children_running("fovea_server.feature_log.keeper")


async def keeper_has_seen_it(metrics: Metrics) -> None:
    name, labels = "fovea_feature_log_dropped_total", {"why": "invalid"}
    await eventually(lambda: metrics.registry.get_sample_value(name, labels) == 1, 30)


async def test_what_a_pass_deleted_is_said_in_a_line_however_much_it_was(where: Places, metrics: Metrics) -> None:
    images = [Path(where.lake, captures.path_of(hashlib.sha256(b"%d" % number).hexdigest())) for number in range(1200)]
    for image in images:
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(b"picture")
    keeper = Keeping(where, dataclasses.replace(_SETTINGS, max_bytes=10 * len(b"picture")), metrics)
    keeper.start()
    await eventually(lambda: sum(image.exists() for image in images) == 10, 60)
    write(where, [record("b", image_orientation=9)])
    await keeper_has_seen_it(metrics)
    await keeper.stop()
    assert not _errors(metrics)


_SAYS_SOMETHING_ELSE = """
import os
import sys
from pathlib import Path

first = Path(__file__).with_name("first")
if "fovea_server.feature_log.keeper" in sys.orig_argv and not first.exists():
    first.write_text(str(os.getpid()))
    print({what}, flush=True)
"""


@pytest.mark.parametrize("what", ["'no JSON'", "'[1]'", "'x' * 1_000_000"])
async def test_a_keeper_that_is_not_understood_is_ended_and_started_again(
    where: Places, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SAYS_SOMETHING_ELSE.format(what=what))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(keeping, "_AGAIN", 0.1)
    keeper = Keeping(where, _SETTINGS, metrics)
    keeper.start()
    await eventually(lambda: _errors(metrics) == 1, 30)
    first = int((tmp_path / "first").read_text())
    await eventually(lambda: [each.pid for each in _keepers()] not in ([], [first]), 30)
    write(where, [record("b", image_orientation=9)])
    await keeper_has_seen_it(metrics)
    assert len(_keepers()) == 1
    await keeper.stop()
    assert not _keepers()


async def test_stopping_compacts_what_was_closed_a_moment_before(where: Places, metrics: Metrics) -> None:
    keeper = Keeping(where, _SETTINGS, metrics)
    keeper.start()
    await eventually(lambda: (where.spool / "lock").exists(), 30)
    write(where, [record("a")])
    await keeper.stop()
    assert len(Lake.of(where).files("records")) == 1


async def test_a_lake_that_cannot_be_written_is_counted_and_tried_again(tmp_path: Path, metrics: Metrics) -> None:
    where = Places(str(tmp_path / "lake"), tmp_path / "spool", tmp_path)
    write(where, [record("a")])
    (tmp_path / "lake").write_text("a file where the folder should be")
    keeper = Keeping(where, _SETTINGS, metrics)
    keeper.start()
    await eventually(lambda: _errors(metrics) >= 1, 30)
    (tmp_path / "lake").unlink()
    await eventually(lambda: bool(Lake.of(where).files("records")), 30)
    await keeper.stop()
