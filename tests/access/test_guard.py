"""Who is let in, and how soon a change of the keys counts."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from fovea_server.access import guard as guarding
from fovea_server.access import keys
from fovea_server.access.guard import Guard
from fovea_server.access.key_file import KeyFile
from fovea_server.access.keys import Scope
from fovea_server.errors import PermissionDenied, Unauthenticated

WAIT = 2.0  # seconds after which a change must count


def _new(state: Path, *scopes: str, seconds: float | None = None) -> tuple[keys.Key, str]:
    key, text = keys.make("", frozenset(scopes), seconds=seconds)
    with KeyFile(state).changed() as kept:
        kept[key.id] = key
    return key, text


def test_a_key_is_taken_as_bearer_token_or_as_x_api_key(tmp_path: Path) -> None:
    key, text = _new(tmp_path, "infer")
    guard = Guard(KeyFile(tmp_path))
    for sent in ((f"Bearer {text}", None), (f"bearer  {text} ", None), (None, text), ("Basic abc", text)):
        assert guard.caller_of(*sent, Scope.INFER).name == key.id


def test_no_key_a_wrong_one_and_one_of_another_scope_are_told_apart(tmp_path: Path) -> None:
    _, text = _new(tmp_path, "infer")
    guard = Guard(KeyFile(tmp_path))
    with pytest.raises(Unauthenticated, match="no API key was sent"):
        guard.caller_of(None, None, Scope.INFER)
    with pytest.raises(Unauthenticated, match="not a Bearer token"):
        guard.caller_of("Basic abc", None, Scope.INFER)
    for wrong in (text[:-1], text + "0", text[:-64] + "0" * 64, "fovea_000000000000_" + "0" * 64, "", "é"):
        with pytest.raises(Unauthenticated, match="not known here") as raised:
            guard.caller_of(None, wrong, Scope.INFER)
        assert not wrong or wrong not in str(raised.value)
    with pytest.raises(PermissionDenied, match=r"scope admin.* has: infer"):
        guard.caller_of(None, text, Scope.ADMIN)
    assert guard.caller_of(None, text, None).scopes == {"infer"}


def test_an_expired_key_opens_nothing_and_says_so_to_its_holder_alone(tmp_path: Path) -> None:
    key, text = _new(tmp_path, "infer", seconds=-1)
    guard = Guard(KeyFile(tmp_path))
    assert guard.good_keys == []
    with pytest.raises(Unauthenticated, match="expired"):
        guard.caller_of(None, text, None)
    with pytest.raises(Unauthenticated, match="not known"):
        guard.caller_of(None, f"fovea_{key.id}_{'0' * 64}", None)


def test_new_and_revoked_keys_count_within_two_seconds(tmp_path: Path) -> None:
    key, text = _new(tmp_path, "infer")
    guard = Guard(KeyFile(tmp_path))
    with KeyFile(tmp_path).changed() as kept:
        kept[key.id] = dataclasses.replace(key, revoked=time.time())
    _, second = _new(tmp_path, "infer")
    time.sleep(WAIT)
    with pytest.raises(Unauthenticated, match="revoked"):
        guard.caller_of(None, text, Scope.INFER)
    assert guard.caller_of(None, second, Scope.INFER)


def test_a_broken_file_changes_nothing_and_a_missing_one_takes_all_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guarding, "_LOOK_AGAIN", 0.0)
    _, text = _new(tmp_path, "infer")
    guard = Guard(KeyFile(tmp_path))
    (tmp_path / "keys.json").write_text("{")
    assert guard.caller_of(None, text, Scope.INFER)
    assert guard.caller_of(None, text, Scope.INFER)
    said = capsys.readouterr()
    assert (said.out + said.err).count("the keys stay as they were") == 1
    (tmp_path / "keys.json").unlink()
    with pytest.raises(Unauthenticated):
        guard.caller_of(None, text, Scope.INFER)


def test_a_file_that_cannot_even_be_looked_at_changes_nothing_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guarding, "_LOOK_AGAIN", 0.0)
    state = tmp_path / "state"
    key, text = _new(state, "infer")
    guard = Guard(KeyFile(state))
    state.rename(tmp_path / "aside")
    state.write_text("in the way")
    for _ in range(3):
        assert guard.caller_of(None, text, Scope.INFER)
    said = capsys.readouterr()
    assert (said.out + said.err).count("the keys stay as they were") == 1
    state.unlink()
    (tmp_path / "aside").rename(state)
    with KeyFile(state).changed() as kept:
        kept[key.id] = dataclasses.replace(key, revoked=time.time())
    with pytest.raises(Unauthenticated, match="revoked"):
        guard.caller_of(None, text, Scope.INFER)


def test_between_two_looks_the_disk_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    class Counted(KeyFile):
        def signature(self) -> tuple[int, int, int] | None:
            looks.append(1)
            return super().signature()

    _, text = _new(tmp_path, "infer")
    monkeypatch.setattr(guarding, "_LOOK_AGAIN", 60.0)
    guard = Guard(Counted(tmp_path))
    for _ in range(1000):
        guard.caller_of(None, text, Scope.INFER)
    assert len(looks) == 1
