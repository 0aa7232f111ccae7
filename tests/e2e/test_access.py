"""A whole server that asks for keys and speaks TLS: `fovea keys`, the four clients, `fovea classify`, and its log."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import certificates
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports
from tests.waiting import until

from fovea_client import AsyncClient, AsyncGrpcClient, Client, GrpcClient, NotAllowed
from fovea_pipelines.package import ModelPackage

_SOON = 3  # seconds: two are promised, and a busy machine is given one more


def _fovea(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOVEA, *words], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )


def _key(state: Path, *options: str) -> str:
    return _fovea("keys", "create", f"--state={state}", *options).stdout.strip()


@pytest.fixture(scope="module")
def guarded(package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guarded")
    state = folder / "state"
    assert _key(state).startswith("fovea_")
    ca = certificates.authority(folder, "ca")
    mine = certificates.signed(ca, folder, "server")
    options = ("--require-keys", f"--tls-certificate={mine.certificate}", f"--tls-key={mine.key}", "--log-level=debug")
    with served(free_ports(5), *options, state=state, ca_file=ca.certificate) as server:
        yield server


@pytest.fixture(scope="module")
def key(guarded: Served) -> str:
    made = _key(guarded.state, "--name=tests")
    time.sleep(2)
    return made


def _rest(server: Served) -> httpx.Client:
    return httpx.Client(base_url=server.url, verify=ssl.create_default_context(cafile=server.ca_file), timeout=30)


def _classified(make: Callable[..., Any], address: str, image: bytes, **options: Any) -> str:
    async def asked() -> str:
        async with make(address, **options) as client:
            return str((await client.classify(image)).predictions[0].label)

    if make in (AsyncClient, AsyncGrpcClient):
        return asyncio.run(asked())
    with make(address, **options) as client:
        return str(client.classify(image).predictions[0].label)


@pytest.mark.parametrize("make", [Client, AsyncClient, GrpcClient, AsyncGrpcClient])
def test_every_client_shows_its_key_given_or_from_the_environment(
    guarded: Served, key: str, espresso: bytes, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOVEA_API_KEY", raising=False)
    address = guarded.url if make in (Client, AsyncClient) else guarded.grpc
    with pytest.raises(NotAllowed) as raised:
        _classified(make, address, espresso, ca_file=guarded.ca_file)
    assert raised.value.reason == "UNAUTHENTICATED"
    assert _classified(make, address, espresso, ca_file=guarded.ca_file, api_key=key) == "espresso"
    monkeypatch.setenv("FOVEA_API_KEY", key)
    assert _classified(make, address, espresso, ca_file=guarded.ca_file) == "espresso"


def test_a_stream_over_grpc_shows_its_key(guarded: Served, key: str, espresso: bytes) -> None:
    with GrpcClient(guarded.grpc, ca_file=guarded.ca_file, api_key=key) as client:
        assert len(list(client.classify_stream([espresso] * 3))) == 3


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_the_command_line_shows_its_key(guarded: Served, key: str, package: ModelPackage, scheme: str) -> None:
    address = guarded.url if scheme == "https" else f"grpcs://{guarded.grpc}"
    words = ("classify", str(package.golden.image), f"--url={address}", f"--ca-file={guarded.ca_file}", "--json")
    good = _fovea(*words, FOVEA_API_KEY=key)
    assert json.loads(good.stdout)["predictions"][0]["label"] == "espresso", good.stderr
    bad = _fovea(*words, FOVEA_API_KEY="")
    assert bad.returncode == 1
    assert "API key" in bad.stderr


def test_what_speaks_tls_is_measured_on_both_ports(guarded: Served, key: str) -> None:
    words = ("bench", f"--url={guarded.url}", f"--grpc={guarded.grpc}", "--rate=5", "--seconds=1", "--warm-up=0")
    good = _fovea(*words, f"--ca-file={guarded.ca_file}", "--json", FOVEA_API_KEY=key)
    lines = json.loads(good.stdout)["lines"]
    assert [(line["protocol"], line["served"], line["errors"]) for line in lines] == [("REST", 5, {}), ("gRPC", 5, {})]
    closed = _fovea(*words[:3], "-c2", "-s1", f"--ca-file={guarded.ca_file}", "--json", FOVEA_API_KEY=key)
    assert [line["errors"] for line in json.loads(closed.stdout)["lines"]] == [{}, {}]
    for url in (guarded.url, f"grpcs://{guarded.grpc}"):
        untrusted = _fovea("bench", f"--url={url}", *words[3:], FOVEA_API_KEY=key)
        assert untrusted.returncode == 1
        assert "is not trusted" in untrusted.stderr
        assert "--ca-file" in untrusted.stderr


def test_keys_come_and_go_while_the_server_runs(guarded: Served) -> None:
    with _rest(guarded) as client:
        made = _key(guarded.state, "--scope=admin", "--scope=infer")
        until(lambda: _status(client, "/metrics", made) == 200, _SOON)
        assert _status(client, "/v1/models", made) == 200
        identity = made.split("_")[1]
        assert _fovea("keys", "revoke", identity, f"--state={guarded.state}").returncode == 0
        until(lambda: _status(client, "/metrics", made) == 401, _SOON)
    listed = _fovea("keys", "list", "--json", f"--state={guarded.state}").stdout
    (said,) = (json.loads(line) for line in listed.splitlines() if identity in line)
    assert (said["good"], said["scopes"]) == (False, ["admin", "infer"])
    assert made.split("_")[2] not in listed


def _status(client: httpx.Client, path: str, key: str) -> int:
    return client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code


def test_no_secret_is_ever_in_the_log(guarded: Served, key: str, espresso: bytes) -> None:
    wrong = f"fovea_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    with _rest(guarded) as client:
        for sent in (key, wrong):
            header = {"Authorization": f"Bearer {sent}"}
            client.post("/v1/classify", headers=header, content=espresso)
            client.post(f"/v1/classify?model={sent}&api_key={sent}", headers=header, content=espresso)
            client.get(f"/{sent}", headers=header)
            client.get("/v1/models", headers={**header, "X-Request-ID": sent})
            client.get("/v1/models", headers={"Authorization": f"Basic {sent}", "X-API-Key": f"{sent}x"})
            client.post("/v1/classify", headers={**header, "Content-Type": "multipart/form-data"}, content=sent)
    _classified(GrpcClient, guarded.grpc, espresso, ca_file=guarded.ca_file, api_key=key)
    for sent in (key, wrong):
        assert sent.rpartition("_")[2] not in guarded.log


def test_a_server_fetches_nothing_from_a_url(guarded: Served, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, _rest(guarded) as client:
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/cat.jpg"
        header = {"X-API-Key": key}
        for body in ({"url": url}, {"image": url}, {"image": "", "url": url}, {"image_url": url}):
            answer = client.post("/v1/classify", json=body, headers=header)
            assert (answer.status_code, answer.json()["reason"]) == (400, "MALFORMED_REQUEST"), body
        for form in ({"url": url}, {"image": url}):
            answer = client.post(
                "/v1/classify", files={name: (None, value) for name, value in form.items()}, headers=header
            )
            assert (answer.status_code, answer.json()["reason"]) == (400, "MALFORMED_REQUEST"), form
        assert client.post("/v1/classify", params={"url": url}, headers=header).status_code == 422
        elsewhere.settimeout(0.5)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_a_server_that_nobody_could_use_says_what_to_do(tmp_path: Path) -> None:
    said = _fovea("serve", "--require-keys", f"--state={tmp_path}", *(f"--{name}={port}" for name, port in _ports()))
    assert said.returncode == 1
    assert "need an API key" in said.stderr
    assert "fovea keys create" in said.stderr


def test_half_of_what_tls_needs_is_a_mistake(tmp_path: Path) -> None:
    assert _fovea("serve", "--tls-key=key.pem").returncode == 2
    missing = tmp_path / "none.pem"
    said = _fovea("serve", f"--tls-certificate={missing}", f"--tls-key={missing}", f"--state={tmp_path}")
    assert said.returncode == 1
    assert "none.pem cannot be read" in said.stderr


def _ports() -> list[tuple[str, int]]:
    names = ("rest-port", "grpc-port", "triton-grpc-port", "triton-metrics-port")
    return list(zip(names, free_ports(4), strict=True))
