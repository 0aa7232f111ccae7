from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.feature_log.made_up import NOON, feedback, model, places, question, record, tell, write

from fovea_server.domain import Caller
from fovea_server.feature_log import captures
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.compaction import alone, compact
from fovea_server.feature_log.erasure import Erased, erase
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.reading import Reader

_ALICE, _BOB = "a" * 32, "b" * 32


def _compact(where: Places) -> None:
    with alone(where, wait=True):
        compact(where, Lake.of(where))


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_caller_is_erased_from_files_and_segments_and_others_stay(where: Places) -> None:
    day = 86_400_000_000
    for number in range(3):
        moment = NOON + number * day
        write(
            where,
            [record(f"a{number}", moment, caller=_ALICE), record(f"b{number}", moment, caller=_BOB)],
            [feedback(f"a{number}", "tench", moment), feedback(f"b{number}", "tench", moment, caller=_BOB)],
        )
        if number < 2:
            _compact(where)
    write(where, [], [feedback("b0", "goldfish", NOON, caller=_ALICE)])  # what she said of somebody else's answer
    assert erase(where, _ALICE) == Erased(records=3, feedback=4, images=0, files=7, left_open=0)
    reader = Reader(where)
    assert sorted(reader.query("SELECT id FROM records")["id"].to_pylist()) == ["b0", "b1", "b2"]
    assert sorted(reader.query("SELECT id FROM feedback")["id"].to_pylist()) == ["b0", "b1", "b2"]
    assert _ALICE.encode() not in _bytes_of(Path(where.lake))
    assert erase(where, _ALICE) == Erased(0, 0, 0, 0, 0)  # again: nothing is left to do


def test_images_that_only_the_caller_sent_are_erased(where: Places) -> None:
    lake = Lake.of(where)
    own, common = "1" * 64, "2" * 64
    write(where, [record("a", caller=_ALICE, image_sha256=own, captured=True)])
    write(
        where,
        [record(name, caller=who, image_sha256=common, captured=True) for name, who in (("b", _ALICE), ("c", _BOB))],
    )
    for digest in (own, common):
        lake.write(captures.path_of(digest), b"picture")
    assert erase(where, _ALICE).images == 1
    assert not lake.exists(captures.path_of(own))
    assert lake.exists(captures.path_of(common))


def test_what_a_running_gateway_has_not_closed_yet_is_erased_too(
    running: Callable[..., FeatureLog], where: Places
) -> None:
    log = running(capture=1.0)
    for name in ("alice", "bob"):
        with log.note(question(name, image=name.encode(), caller=Caller(name))) as note:
            tell(note, [model()])
    while not list(captures.waiting(where.spool)):
        pass
    erased = erase(where, Pseudonyms(where.state).of("alice"))
    assert (erased.records, erased.images, erased.left_open) == (1, 1, 0)
    assert Reader(where).query("SELECT id FROM records").to_pylist() == [{"id": "bob"}]


def test_the_hash_depends_on_the_salt_which_is_for_its_owner_only(tmp_path: Path) -> None:
    one, again, other = (Pseudonyms(tmp_path / name).of("alice") for name in ("x", "x", "y"))
    assert one == again != other
    assert (tmp_path / "x/feature_log.salt").stat().st_mode & 0o777 == 0o600
    assert Pseudonyms(tmp_path / "x").of("") == ""


@pytest.mark.parametrize("location", ["file:///var/log/x", "/var/log/x"])
def test_a_local_log_holds_its_spool_itself_and_that_of_a_url_is_in_the_state_folder(location: str) -> None:
    local = Places.of(location, Path("/state"))
    assert (local.lake, local.spool) == ("/var/log/x", Path("/var/log/x/spool"))
    remote = Places.of("s3://bucket/log", Path("/state"))
    assert remote.lake == "s3://bucket/log"
    assert remote.spool.is_relative_to("/state/feature_log")
    assert places(Path("/tmp/one")) != places(Path("/tmp/two"))
