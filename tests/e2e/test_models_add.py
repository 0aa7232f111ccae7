"""Models come into a running server and go, and nobody who asks for another one notices."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests import small_networks
from tests.conftest import free_ports
from tests.e2e.served import FOVEA, Served, served


def _models(server: Served, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [FOVEA, "models", *map(str, arguments), "--state", str(server.state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return small_networks.classifier(tmp_path / "small.onnx")


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """What an ONNX file does not say by itself."""
    (tmp_path / "contract.toml").write_text(small_networks.CONTRACT)
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    # Random weights amplify what rounding does to 32x32 pixels.
    return [
        *("--contract", str(tmp_path / "contract.toml"), "--labels", str(tmp_path / "labels.txt")),
        *("--limit", "logit_drift=3", "--limit", "embedding_drift=0.1", "--limit", "top_1=0", "--limit", "top_5=0"),
        "--full-decode",  # at 32 pixels nothing else passes, and trying costs twice the time
    ]


@contextlib.contextmanager
def _asking(server: Served, image: bytes, model: str = "efficientnet_lite0") -> Iterator[Counter[str]]:
    """Four callers who ask one model without a pause; what they got so far, by outcome."""
    outcomes: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not stop.is_set():
                answer = client.post(f"/v1/classify?top_k=1&model={model}", content=image)
                outcomes["OK" if answer.status_code == 200 else answer.json()["reason"]] += 1

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for caller in callers:
            caller.join()


def test_models_come_and_go_without_a_failed_request(
    own_server: Served, espresso: bytes, network: Path, options: list[str]
) -> None:
    triton = own_server.triton().pid
    with _asking(own_server, espresso) as outcomes:
        added = _models(own_server, "add", network, *options)
        assert added.returncode == 0, added.stderr
        _analyses_agree_with_classifications(own_server, espresso)
        embeds = _models(own_server, "add", network, *options[:2], *options[4:], "--name", "embeds", "--embedding-only")
        assert embeds.returncode == 0, embeds.stderr
        _a_model_that_only_embeds_answers_with_its_embedding(own_server, espresso)
        removed = _models(own_server, "remove", "small")
        assert removed.returncode == 0, removed.stderr
        gone = httpx.post(f"{own_server.url}/v1/classify?model=small", content=espresso)
        assert (gone.status_code, gone.json()["reason"]) == (404, "UNKNOWN_MODEL")
        time.sleep(1.5)  # the watch looks twice a second
    assert set(outcomes) == {"OK"}
    assert outcomes["OK"] > 50
    assert own_server.triton().pid == triton
    assert {path.name for path in (own_server.state / "models").iterdir()} >= {"embeds", "classify_embeds"}
    assert not list((own_server.state / "models").glob("*small*"))


def _analyses_agree_with_classifications(server: Served, image: bytes) -> None:
    names = "small,efficientnet_lite0"
    url = f"{server.url}/v1/analyze?models={names}&top_k=2&embedding=true"
    analysis = httpx.post(url, content=image).raise_for_status().json()
    assert [result["model"]["name"] for result in analysis["results"]] == names.split(",")
    for result in analysis["results"]:
        name = result["model"]["name"]
        query = f"model={name}&top_k=2&embedding=true"
        alone = httpx.post(f"{server.url}/v1/classify?{query}", content=image).raise_for_status().json()
        for key in ("model", "predictions", "quality", "embedding"):
            assert result[key] == alone[key], (name, key)
        assert result["timings_ms"]["preprocess"] > 0
        assert result["timings_ms"]["model"] > 0
    parts = [analysis["timings_ms"][part] for part in ("gateway", "queue", "preprocess", "model")]
    assert sum(parts) == pytest.approx(analysis["timings_ms"]["total"], abs=0.1)


def _a_model_that_only_embeds_answers_with_its_embedding(server: Served, image: bytes) -> None:
    answer = httpx.post(f"{server.url}/v1/classify?model=embeds", content=image).raise_for_status().json()
    assert answer["predictions"] == []
    assert len(answer["embedding"]) == 5
    (listed,) = (m for m in httpx.get(f"{server.url}/v1/models").json()["models"] if m["name"] == "embeds")
    assert (listed["labels"], listed["features"]) == (0, 5)


def test_an_added_model_is_there_after_triton_died_and_after_the_server_was_killed(
    own_server: Served, espresso: bytes, network: Path, options: list[str]
) -> None:
    assert _models(own_server, "add", network, *options).returncode == 0
    asked = f"{own_server.url}/v1/classify?model=small"
    expected = httpx.post(asked, content=espresso).raise_for_status().json()["predictions"]
    os.kill(own_server.triton().pid, signal.SIGKILL)
    time.sleep(1)
    own_server.wait_ready()
    assert httpx.post(asked, content=espresso).raise_for_status().json()["predictions"] == expected
    own_server.process.kill()
    own_server.process.wait()
    with served(free_ports(5), f"--state={own_server.state}") as again:
        found = httpx.post(f"{again.url}/v1/classify?model=small", content=espresso).raise_for_status().json()
        assert found["predictions"] == expected
        # The socket that the killed server left behind is nobody's, and is cleared away.
        removed = _models(Served(**{**vars(again), "state": own_server.state}), "remove", "small")
        assert removed.returncode == 0, removed.stderr


def test_a_model_that_is_spoilt_on_the_disk_is_refused_and_what_is_served_stays(
    own_server: Served, espresso: bytes, network: Path, options: list[str]
) -> None:
    """Two servers share a state folder; a model that is there already and damaged is not taken into service."""
    assert _models(own_server, "add", network, *options).returncode == 0
    assert _models(own_server, "remove", "small").returncode == 0
    (control,) = own_server.state.glob("control-*.sock")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(control)), timeout=60) as client:
        absent = client.put("http://fovea/models/small")
        given = client.delete("http://fovea/models/efficientnet_lite0")
    assert (absent.status_code, absent.json()["reason"]) == (409, "MODEL_REFUSED")
    assert "small/model.toml does not exist" in absent.json()["detail"]
    assert (given.status_code, given.json()["reason"]) == (409, "MODEL_REFUSED")
    assert "was not added" in given.json()["detail"]
    assert httpx.post(f"{own_server.url}/v1/classify", content=espresso).status_code == 200


def test_nobody_else_may_open_the_control_socket(own_server: Served) -> None:
    (control,) = own_server.state.glob("control-*.sock")
    assert control.stat().st_mode & 0o777 == 0o600


def test_a_new_version_takes_over_and_is_rolled_back_without_a_failed_request(
    own_server: Served, espresso: bytes, network: Path, options: list[str], tmp_path: Path
) -> None:
    other = small_networks.classifier(tmp_path / "other.onnx", seed=1)
    assert _models(own_server, "add", network, *options).returncode == 0
    digests = {"1": _identity(own_server, espresso, "small")["digest"]}
    with _asking(own_server, espresso, "small") as outcomes:
        added = _models(own_server, "add", other, *options, "--name", "small", "--new-version")
        assert added.returncode == 0, added.stderr
        assert "small: version 2 is in service" in added.stderr
        second = _identity(own_server, espresso, "small")
        assert second["version"] == "2"
        assert second["digest"] != digests["1"]
        assert _identity(own_server, espresso, "small@1")["digest"] == digests["1"]
        _a_broken_version_is_refused(own_server, espresso)
        rolled_back = _models(own_server, "rollback", "small")
        assert rolled_back.returncode == 0, rolled_back.stderr
        assert _identity(own_server, espresso, "small") == {"name": "small", "version": "1", "digest": digests["1"]}
        assert _models(own_server, "rollback", "small").returncode == 0
        time.sleep(1.5)  # the watch looks twice a second
    assert set(outcomes) == {"OK"}
    os.kill(own_server.triton().pid, signal.SIGKILL)
    time.sleep(1)
    own_server.wait_ready()
    assert _identity(own_server, espresso, "small") == second
    removed = _models(own_server, "remove", "small")
    assert removed.returncode == 0, removed.stderr
    assert not list((own_server.state / "models").glob("*small*"))


def _identity(server: Served, image: bytes, model: str) -> dict[str, str]:
    answer = httpx.post(f"{server.url}/v1/classify?model={model}", content=image).raise_for_status()
    identity: dict[str, str] = answer.json()["model"]
    return identity


def _a_broken_version_is_refused(server: Served, image: bytes) -> None:
    """As if its model.py, and with it the process that is to run it, were broken."""
    models = server.state / "models"
    shutil.copytree(models / "small@2", models / "small@3")
    shutil.copytree(models / "classify_small@2", models / "classify_small@3")
    for file in (models / "small@3/model.toml", models / "small@3/configs/cpu.pbtxt"):
        file.write_text(file.read_text().replace("small@2", "small@3").replace('version = "2"', 'version = "3"'))
    ensemble = models / "classify_small@3/config.pbtxt"
    ensemble.write_text(ensemble.read_text().replace("small@2", "small@3"))
    (models / "small@3/1/model.py").write_text("raise ImportError('made to fail')\n")
    (control,) = server.state.glob("control-*.sock")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(control)), timeout=60) as client:
        refused = client.put("http://fovea/models/small@3")
        unknown = client.put("http://fovea/models/small@3/current")
    assert (refused.status_code, refused.json()["reason"]) == (409, "MODEL_REFUSED")
    assert "made to fail" in refused.json()["detail"]
    assert unknown.status_code == 404
    assert _identity(server, image, "small")["version"] == "2"
    for folder in ("small@3", "classify_small@3"):
        shutil.rmtree(models / folder)


def test_a_name_that_is_taken_is_refused_with_the_way_to_make_it_a_new_version(
    server: Served, network: Path, options: list[str], tmp_path: Path
) -> None:
    taken = _models(server, "add", network, *options, "--name", "efficientnet_lite0")
    assert taken.returncode == 1
    assert "there is a model efficientnet_lite0 already" in taken.stderr
    assert "--new-version" in taken.stderr
    nothing = _models(server, "add", network, *options, "--name", "nowhere", "--new-version")
    assert nothing.returncode == 2
    assert "no model named nowhere" in nothing.stderr
    unmoved = _models(server, "rollback", "efficientnet_lite0")
    assert unmoved.returncode == 2
    assert "has no version to go back to" in unmoved.stderr
