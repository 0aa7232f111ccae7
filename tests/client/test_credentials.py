"""The key that a client shows: given or from the environment, on every call of every client, and never in a message."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.client.callers import CLIENTS, ask
from tests.client.scripted import Script

from fovea_client import Client, GrpcClient, connect
from fovea_client.credentials import authorization


def test_a_key_that_is_given_goes_before_the_environments_and_an_empty_one_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FOVEA_API_KEY", raising=False)
    assert authorization(None) == {}
    monkeypatch.setenv("FOVEA_API_KEY", "fovea_env\n")
    assert authorization(None) == {"authorization": "Bearer fovea_env"}
    assert authorization("fovea_mine") == {"authorization": "Bearer fovea_mine"}
    assert authorization("") == {}


@pytest.mark.parametrize("key", ["two words", "new\nline", "clé"])
def test_what_cannot_be_a_key_is_refused_without_being_repeated(name: str, key: str) -> None:
    with pytest.raises(ValueError, match="API key") as raised:
        CLIENTS[name][1](api_key=key)
    assert key not in str(raised.value)


def test_every_try_of_every_client_shows_the_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_API_KEY", "fovea_0_secret")
    script = Script()
    for verb, options in (("classify", {}), ("analyze", {"models": ["a"]})):
        ask(name, script, verb, b"image", **options)
    assert [asked.authorization for asked in script.asked] == ["Bearer fovea_0_secret"] * 2


@pytest.mark.parametrize(
    ("url", "kind"), [("https://fovea.example", Client), ("grpcs://fovea.example:8081", GrpcClient)]
)
def test_addresses_with_tls_get_their_client(url: str, kind: type) -> None:
    with connect(url, api_key="fovea_0_secret") as client:
        assert isinstance(client, kind)
        assert "secret" not in repr(client)


def test_a_ca_file_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    for url in ("https://fovea.example", "grpcs://fovea.example:8081"):
        with pytest.raises(FileNotFoundError):
            connect(url, ca_file=tmp_path / "none.pem")
