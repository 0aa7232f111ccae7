"""The file of the keys: for its owner alone, whole at every moment, one writer at a time."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from fovea_server.access import keys
from fovea_server.access.key_file import BadKeyFile, KeyFile


def _add(state: Path, count: int) -> None:
    for _ in range(count):
        key, _text = keys.make("", frozenset({"infer"}))
        with KeyFile(state).changed() as kept:
            kept[key.id] = key


def test_keys_come_back_as_they_were_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    key, text = keys.make("bob", frozenset({"infer", "admin"}), seconds=60, megapixels_per_second=2.5)
    file = KeyFile(tmp_path)
    with file.changed() as kept:
        kept[key.id] = key
    assert file.read() == {key.id: key}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert text.rpartition("_")[2] not in file.path.read_text()


def test_writers_in_several_processes_lose_none_and_readers_always_see_a_whole_file(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_add, args=(tmp_path, 25)) for _ in range(2)]
    for writer in writers:
        writer.start()
    sizes = []
    while any(writer.is_alive() for writer in writers):
        sizes.append(len(KeyFile(tmp_path).read()))
    assert sizes == sorted(sizes)
    assert len(KeyFile(tmp_path).read()) == 50
    assert {path.name for path in tmp_path.iterdir()} == {"keys.json", "keys.lock"}


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    _add(tmp_path, 1)
    before = KeyFile(tmp_path).read()
    with pytest.raises(KeyError), KeyFile(tmp_path).changed() as kept:
        del kept[next(iter(kept))], kept["no such key"]
    assert KeyFile(tmp_path).read() == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{"id": "a"}]}']
)
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(BadKeyFile, match=r"keys\.json"):
        KeyFile(tmp_path).read()
