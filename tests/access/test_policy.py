"""When callers need a key: never on loopback by default, always elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from fovea_server.access import keys, policy
from fovea_server.access.key_file import KeyFile
from fovea_server.access.policy import AccessSettings
from fovea_server.errors import StartError

ANYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def with_key(tmp_path: Path) -> Path:
    key, _ = keys.make("", frozenset({"infer"}))
    with KeyFile(tmp_path).changed() as kept:
        kept[key.id] = key
    return tmp_path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_nobody_is_asked_unless_it_is_wanted(with_key: Path, host: str) -> None:
    assert policy.guard(AccessSettings(), host, with_key) is None
    assert policy.guard(AccessSettings(require_keys=True), host, with_key) is not None


@pytest.mark.parametrize("host", [ANYWHERE, "::", "", "192.0.2.7", "no-such-host.invalid"])
def test_elsewhere_everybody_is_asked_unless_that_is_said_to_be_insecure(with_key: Path, host: str) -> None:
    assert policy.guard(AccessSettings(), host, with_key) is not None
    assert policy.guard(AccessSettings(insecure=True), host, with_key) is None


def test_a_server_that_nobody_could_use_does_not_start_and_says_what_to_do(tmp_path: Path, with_key: Path) -> None:
    with pytest.raises(StartError, match=r"0\.0\.0\.0 need an API key") as raised:
        policy.guard(AccessSettings(), ANYWHERE, tmp_path / "empty")
    assert "fovea keys create" in raised.value.hint
    assert "--insecure" in raised.value.hint
    with pytest.raises(StartError, match="contradict"):
        policy.guard(AccessSettings(require_keys=True, insecure=True), ANYWHERE, with_key)
    (with_key / "keys.json").write_text("{")
    with pytest.raises(StartError, match=r"keys\.json"):
        policy.guard(AccessSettings(), ANYWHERE, with_key)
