"""Our own clients and command line against a real server: the same answers and the same errors, whichever is used."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from tests.e2e.served import FOVEA, Served

from fovea_client import (
    Analysis,
    AsyncClient,
    AsyncGrpcClient,
    BadImage,
    BadRequest,
    Classification,
    Client,
    GrpcClient,
    UnknownModel,
)
from fovea_pipelines import precision
from fovea_pipelines.package import ModelPackage


@pytest.fixture(params=["REST", "gRPC"])
def client(request: pytest.FixtureRequest, server: Served) -> Client | GrpcClient:
    return Client(server.url) if request.param == "REST" else GrpcClient(server.grpc)


def test_each_client_labels_a_photograph_rightly(
    client: Client | GrpcClient, espresso: bytes, package: ModelPackage
) -> None:
    with client:
        answer = client.classify(espresso, top_k=2, embedding=True, request_id="mine")
        assert answer.id == "mine"
        assert answer.predictions[0].label == "espresso"
        assert answer.model.digest == package.digest
        assert answer.embedding is not None
        assert len(answer.embedding) == 1280
        assert client.ready()
        model = client.models()[0]
        assert (model.identity, model.labels, model.features) == (answer.model, 1000, 1280)


def test_an_analysis_says_what_a_classification_says(
    client: Client | GrpcClient, espresso: bytes, package: ModelPackage
) -> None:
    with client:
        analysis = client.analyze(espresso, models=[package.name], top_k=2, embedding=True, request_id="mine")
        answer = client.classify(espresso, top_k=2, embedding=True)
        assert client.analyze(espresso, models=[package.name]).results[0].embedding is None
    _check_agreement(analysis, answer)
    assert analysis.id == "mine"
    assert analysis.results[0].embedding == pytest.approx(answer.embedding, abs=1e-3)


def _check_agreement(analysis: Analysis, answer: Classification) -> None:
    (result,) = analysis.results
    assert result == analysis.result_of(answer.model.name)
    assert (result.model, result.quality, analysis.image) == (answer.model, answer.quality, answer.image)
    assert [each.label for each in result.predictions] == [each.label for each in answer.predictions]
    assert result.predictions[0].score == pytest.approx(answer.predictions[0].score, abs=1e-4)
    took = result.timings_ms
    assert 0 < took.preprocess <= analysis.timings_ms.total
    assert 0 < took.model <= analysis.timings_ms.total


def test_each_client_raises_the_same_typed_errors(
    client: Client | GrpcClient, espresso: bytes, package: ModelPackage
) -> None:
    with client:
        with pytest.raises(BadImage) as damaged:
            client.classify(espresso[:-10_000])
        assert damaged.value.reason == "UNDECODABLE"
        with pytest.raises(UnknownModel, match="'nope'"):
            client.classify(espresso, model="nope")
        with pytest.raises(BadImage) as damaged:
            client.analyze(espresso[:-10_000], models=[package.name])
        assert damaged.value.reason == "UNDECODABLE"
        with pytest.raises(UnknownModel, match="'nope'"):
            client.analyze(espresso, models=[package.name, "nope"])
        with pytest.raises(BadRequest, match="more than once"):
            client.analyze(espresso, models=[package.name, package.name])
        with pytest.raises(BadRequest, match="must name one model or more"):
            client.analyze(espresso, models=[])


async def test_the_asynchronous_clients_answer_the_same(server: Served, espresso: bytes, package: ModelPackage) -> None:
    async with AsyncClient(server.url) as rest, AsyncGrpcClient(server.grpc) as grpc:
        over_rest, over_grpc = await rest.classify(espresso), await grpc.classify(espresso)
        for each in (rest, grpc):
            _check_agreement(await each.analyze(espresso, models=[package.name]), over_grpc)
    assert [each.label for each in over_rest.predictions] == [each.label for each in over_grpc.predictions]
    assert over_rest.image == over_grpc.image


def _fovea(*words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([FOVEA, *words], input=stdin, capture_output=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path, espresso: bytes) -> Path:
    (tmp_path / "a_cup.jpg").write_bytes(espresso)
    (tmp_path / "damaged.jpg").write_bytes(espresso[:-10_000])
    buffer = io.BytesIO()
    Image.open(io.BytesIO(espresso)).save(buffer, "PNG")
    (tmp_path / "cup.png").write_bytes(buffer.getvalue())
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_the_command_line_answers_the_good_names_the_bad_and_exits_with_1(server: Served, folder: Path) -> None:
    result = _fovea("classify", str(folder), "--json", "--url", server.url)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1
    assert [Path(line["path"]).name for line in lines] == ["a_cup.jpg", "cup.png", "damaged.jpg"]
    assert lines[0]["predictions"][0]["label"] == lines[1]["predictions"][0]["label"] == "espresso"
    assert lines[2]["error"]["reason"] == "UNDECODABLE"
    assert b"damaged.jpg" in result.stderr


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_the_command_line_reads_stdin_and_prints_a_table(server: Served, espresso: bytes, scheme: str) -> None:
    url = server.url if scheme == "http" else f"grpc://{server.grpc}"
    result = _fovea("classify", "-", "--url", url, stdin=espresso)
    assert result.returncode == 0
    assert b"espresso" in result.stdout


def test_an_interrupted_run_shows_what_it_has(server: Served, folder: Path) -> None:
    command = [FOVEA, "classify", "--url", server.url, "--concurrency", "2", *[str(folder / "a_cup.jpg")] * 5000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        before = _answered(server)
        while _answered(server) < before + 20:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        shown, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"espresso" in shown
    assert re.search(rb"interrupted; \d+ of 5000 images were asked about", said)


def _answered(server: Served) -> float:
    return float(server.metrics().split('\nfovea_requests_total{outcome="OK"} ')[1].split()[0])


def test_a_server_that_is_not_there_is_one_sentence_and_a_hint(folder: Path) -> None:
    result = _fovea("classify", str(folder), "--url", "http://127.0.0.1:1", "--timeout", "1")
    assert result.returncode == 1
    assert result.stderr.count(b"error: ") == 1
    assert b"fovea serve" in result.stderr


def test_models_are_listed_and_the_version_is_said() -> None:
    (model,) = [json.loads(line) for line in _fovea("models", "list", "--json").stdout.splitlines()]
    assert (model["name"], model["built"]) == ("efficientnet_lite0", True)
    assert model["precision"] in precision.native()
    assert _fovea("version").stdout.startswith(b"fovea 0.")
    unknown = _fovea("models", "build", "nope")
    assert unknown.returncode == 2
    assert b"no model named nope" in unknown.stderr
