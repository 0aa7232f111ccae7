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
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage


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
    """Four callers who ask one model again and again, twenty times a second; what they got so far, by outcome.

    The drill `hot_swaps` asks as often as the machine can answer.
    """
    outcomes: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not stop.wait(0.2):
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


def test_models_come_and_go_without_a_failed_request_and_stay_when_triton_or_the_server_dies(
    own_server: Served, espresso: bytes, network: Path, options: list[str]
) -> None:
    triton = own_server.triton().pid
    with _asking(own_server, espresso) as outcomes:
        added = _models(own_server, "add", network, *options)
        assert added.returncode == 0, added.stderr
        _analyses_agree_with_classifications(own_server, espresso)
        embeds = _models(own_server, "add", network, *options[:2], *options[4:], "--name", "embeds", "--embedding-only")
        assert embeds.returncode == 0, embeds.stderr
        embedding = _embedding_of_what_only_embeds(own_server, espresso)
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
    os.kill(triton, signal.SIGKILL)
    time.sleep(1)
    own_server.wait_ready()
    assert _embedding_of_what_only_embeds(own_server, espresso) == embedding
    own_server.process.kill()
    own_server.process.wait()
    with served(free_ports(5), f"--state={own_server.state}") as again:
        assert _embedding_of_what_only_embeds(again, espresso) == embedding
        # The socket that the killed server left behind is nobody's, and is cleared away.
        removed = _models(Served(**{**vars(again), "state": own_server.state}), "remove", "embeds")
        assert removed.returncode == 0, removed.stderr


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


def _embedding_of_what_only_embeds(server: Served, image: bytes) -> list[float]:
    answer = httpx.post(f"{server.url}/v1/classify?model=embeds", content=image).raise_for_status().json()
    assert answer["predictions"] == []
    embedding: list[float] = answer["embedding"]
    assert len(embedding) == 5
    (listed,) = (m for m in httpx.get(f"{server.url}/v1/models").json()["models"] if m["name"] == "embeds")
    assert (listed["labels"], listed["features"]) == (0, 5)
    return embedding


def test_a_model_that_is_not_there_spoilt_or_was_never_added_is_refused_and_what_is_served_stays(
    own_server: Served, package: ModelPackage, espresso: bytes
) -> None:
    shutil.copytree(package.folder, own_server.state / "models/spoilt")
    (own_server.state / "models/spoilt/model.toml").write_text("[model\n")
    (control,) = own_server.state.glob("control-*.sock")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(control)), timeout=60) as client:
        absent = client.put("http://fovea/models/small")
        spoilt = client.put("http://fovea/models/spoilt")
        given = client.delete("http://fovea/models/efficientnet_lite0")
    for refused, why in (
        (absent, "small/model.toml does not exist"),
        (spoilt, "spoilt/model.toml"),
        (given, "was not added"),
    ):
        assert (refused.status_code, refused.json()["reason"]) == (409, "MODEL_REFUSED")
        assert why in refused.json()["detail"]
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
    for name in ("small@3/model.toml", "small@3/configs/cpu.pbtxt", "classify_small@3/configs/cpu.pbtxt"):
        text = (models / name).read_text().replace("small@2", "small@3").replace('version = "2"', 'version = "3"')
        (models / name).write_text(text)
    (models / "classify_small@3/1/model.py").write_text("raise ImportError('made to fail')\n")
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
    unknown = _models(server, "rollback", "nowhere")
    assert unknown.returncode == 2
    assert "no model named nowhere, so there is no version of it to go back to" in unknown.stderr
