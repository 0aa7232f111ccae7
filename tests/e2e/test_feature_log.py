"""A server of two gateway processes that keeps a log: what was answered, what was true, and both read again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow.parquet as pq
import pytest
from tests.client.callers import CLIENTS, ask_at
from tests.conftest import Photograph
from tests.e2e.served import Served, served
from tests.ports import free_ports
from tests.waiting import until
from typer.testing import CliRunner

from fovea_client import BadRequest, Context, Feedback
from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_pipelines.package import ModelPackage
from fovea_server.cli.main import app
from fovea_server.feature_log import captures, plain, segments
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.reading import Reader

Where = tuple[Served, Places]


@pytest.fixture(scope="module")
def kept(package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Where]:
    folder = tmp_path_factory.mktemp("log")
    options = (f"--feature-log={folder}", "--workers=2", "--log-embeddings=1", "--capture=1", "--capture-days=1")
    with served(free_ports(5), *options) as server:
        yield server, Places.of(str(folder), server.state)


def _asked(server: Served, image: bytes, identity: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/classify", content=image, headers={"X-Request-ID": identity, **headers})


def _joined(where: Places, beginning: str) -> list[dict[str, Any]]:
    sql = f"SELECT * FROM joined WHERE starts_with(id, '{beginning}') ORDER BY id"  # noqa: S608
    return plain.rows(Reader(where).query(sql))


def test_photographs_with_their_labels_become_an_export_for_training(
    kept: Where, photographs: list[Photograph], tmp_path: Path
) -> None:
    server, where = kept
    some = photographs[:24]
    said = [_asked(server, photo.content, f"photo{number:02}").json() for number, photo in enumerate(some)]
    lines = [json.dumps({"id": f"photo{number:02}", "label": photo.class_index}) for number, photo in enumerate(some)]
    answer = httpx.post(
        f"{server.url}/v1/feedback", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["refused"]) == (24, [])
    until(lambda: len(_joined(where, "photo")) == 24, 10)
    output = tmp_path / "features.parquet"
    _fovea("features", "export", "--labelled", "-o", output, "--feature-log", where.lake)
    rows = pq.read_table(output).to_pylist()
    assert [row["id"] for row in rows] == [f"photo{number:02}" for number in range(24)]
    for row, photo, answered in zip(rows, some, said, strict=True):
        best = answered["predictions"][0]
        assert row["image_sha256"] == hashlib.sha256(photo.content).hexdigest()
        assert (row["top_labels"][0], row["top_indices"][0]) == (best["label"], best["index"])
        assert row["correct"] == (row["label"] == best["label"])
        assert row["digest"] == answered["model"]["digest"]
        assert row["total_ms"] >= answered["timings_ms"]["total"]
        assert len(row["embedding"]) == 1280
    assert sum(row["correct"] for row in rows) >= 12


def test_the_look_up_by_digest_is_the_same_data_as_the_join(kept: Where, espresso: bytes) -> None:
    server, where = kept
    _asked(server, espresso, "look1", **{"X-Slice": "device=phone; region=eu"})
    _asked(server, espresso, "look2")
    assert httpx.post(f"{server.url}/v1/feedback", json={"id": "look1", "label": "espresso"}).status_code == 202
    until(lambda: len(_joined(where, "look")) == 2, 10)
    found = httpx.get(f"{server.url}/v1/features/{hashlib.sha256(espresso).hexdigest()}").json()["records"]
    by_id = {row["id"]: row for row in found}
    first, second = _joined(where, "look")
    for row in (first, second):
        assert by_id[row["id"]] == row
    assert (first["label"], first["correct"]) == ("espresso", True)
    assert first["slices"] == {"device": "phone", "region": "eu"}
    assert (second["label"], second["slices"]) == (None, None)
    missing = httpx.get(f"{server.url}/v1/features/{'0' * 64}")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NO_SUCH_IMAGE")
    assert httpx.get(f"{server.url}/v1/features/xyz").json()["reason"] == "BAD_PARAMETER"
    for query, words in (("as_off=2026-03-01", "there is no option 'as_off'"), ("as_of=9999-01-01", "in the future")):
        refused = httpx.get(f"{server.url}/v1/features/{'0' * 64}?{query}").json()
        assert refused["reason"] == "BAD_PARAMETER"
        assert words in refused["detail"]


def test_grpc_says_slices_and_gives_feedback(kept: Where, espresso: bytes) -> None:
    server, where = kept
    with grpc.insecure_channel(server.grpc) as channel:
        stub = vision_pb2_grpc.VisionStub(channel)
        asked = vision_pb2.ClassifyRequest(image=espresso, request_id="rpc1")
        stub.Classify(asked, metadata=(("x-slice", "device=scanner"),))
        given = [
            vision_pb2.Feedback(id="rpc1", index=967),
            vision_pb2.Feedback(id="rpc1", label="espreso"),
            vision_pb2.Feedback(id="rpc1"),
        ]
        outcomes = stub.GiveFeedback(vision_pb2.GiveFeedbackRequest(feedback=given)).outcomes
        with pytest.raises(grpc.RpcError) as refused:
            stub.Classify(asked, metadata=(("x-slice", "Device"),))
    kinds = vision_pb2.FeedbackOutcome
    assert outcomes[0].status in (kinds.MATCHED, kinds.PENDING)  # either process may have answered
    assert [each.status for each in outcomes[1:]] == [kinds.REFUSED, kinds.REFUSED]
    assert "the nearest: espresso" in outcomes[1].error.message
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    until(lambda: len(_joined(where, "rpc1")) == 1, 10)
    (row,) = _joined(where, "rpc1")
    assert (row["slices"], row["label"], row["correct"]) == ({"device": "scanner"}, "espresso", True)


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_gives_feedback_and_says_what_images_are_told_apart_by(
    kept: Where, espresso: bytes, name: str
) -> None:
    server, where = kept
    address = server.grpc if "Grpc" in name else server.url
    context = Context(slices={"client": name})
    for number in range(3):
        ask_at(name, address, "classify", espresso, request_id=f"{name}{number}", context=context)
    assert ask_at(name, address, "feedback", f"{name}0", "espresso") in ("matched", "pending")
    with pytest.raises(BadRequest, match="the nearest: espresso") as refused:
        ask_at(name, address, "feedback", f"{name}1", "espreso")
    assert refused.value.reason == "UNKNOWN_LABEL"
    given = [Feedback(f"{name}1", 968), Feedback(f"{name}2", "cupp"), Feedback(f"{name}2", "espresso", "other")]
    report = ask_at(name, address, "feedback_many", given)
    assert (report.accepted, sorted(report.refused)) == (1, [1, 2])
    assert [report.refused[place].reason for place in (1, 2)] == ["UNKNOWN_LABEL", "UNKNOWN_MODEL"]
    rows = until(lambda: len(rows := _joined(where, name)) == 3 and rows, 10)
    assert [row["label"] for row in rows] == ["espresso", "cup", None]
    assert [row["slices"] for row in rows] == [{"client": name}] * 3


def test_every_outcome_is_on_record_and_what_is_no_feedback_is_refused_by_its_field(kept: Where) -> None:
    server, where = kept
    assert _asked(server, b"no image at all", "bad1").status_code == 415
    (row,) = until(lambda: _joined(where, "bad1"), 10)
    assert (row["outcome"], row["captured"], row["label"]) == ("NOT_AN_IMAGE", False, None)
    for document, word in (({"label": "cup"}, "id"), ({"id": "a"}, "label"), ({"id": "a", "label": True}, "label")):
        refused = httpx.post(f"{server.url}/v1/feedback", json=document)
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith(word)
    unknown = httpx.post(f"{server.url}/v1/feedback", json={"id": "a", "label": "cup", "time": 1})
    assert (unknown.status_code, unknown.json()["reason"]) == (400, "MALFORMED_REQUEST")
    nothing = httpx.post(f"{server.url}/v1/feedback", content=b" ")
    assert (nothing.status_code, nothing.json()["detail"]) == (400, "no feedback was sent")


def test_the_keeper_compacts_what_both_processes_wrote_and_moves_the_images(kept: Where, espresso: bytes) -> None:
    server, where = kept
    writers = set()

    def both_write() -> bool:
        _asked(server, espresso, f"keep{time.monotonic_ns()}")
        writers.update(each.path.stem.rpartition("-")[2] for each in segments.all_of(where.segments))
        return len(writers) == 2

    until(both_write, 20)
    segments.ask_to_close(where.segments)
    until(lambda: list(Path(where.lake, "records").rglob("*.parquet")), 20)
    image = Path(where.lake, captures.path_of(hashlib.sha256(espresso).hexdigest()))
    until(image.exists, 20)
    assert image.read_bytes() == espresso
    counted = json.loads(_fovea("log", "stats", "--json", "--feature-log", where.lake))
    assert counted["records"] == sum(counted["outcomes"].values()) > counted["labelled"]
    assert counted["torn_bytes"] == 0
    metrics = httpx.get(f"{server.url}/metrics").text
    assert "fovea_feature_log_records_total" in metrics
    assert 'fovea_feature_log_errors_total{at="compaction"}' not in metrics


def test_the_command_line_answers_in_sql_and_shows_the_last_records(kept: Where, espresso: bytes) -> None:
    server, where = kept
    _asked(server, espresso, "shown1")
    until(lambda: _joined(where, "shown1"), 10)
    log = ("--feature-log", where.lake)
    assert json.loads(_fovea("log", "tail", "-n", "1", *log))["id"] == "shown1"
    sql = "SELECT count(*) AS n FROM joined WHERE id = 'shown1'"
    assert json.loads(_fovea("log", "query", sql, "--format", "json", *log)) == {"n": 1}
    assert _fovea("log", "query", sql, "--format", "csv", *log) == '"n"\n1\n'
    assert json.loads(_fovea("log", "query", sql, "--as-of", "2020-01-01", "--format", "json", *log)) == {"n": 0}
    nested = "SELECT slices, [1, 2] AS list, id FROM records WHERE id = 'shown1'"
    assert _fovea("log", "query", nested, "--format", "csv", *log).startswith('"slices","list","id"\n')
    nowhere = CliRunner().invoke(app, ["features", "export", "-o", f"{server.state}/nowhere/x.parquet", *log])
    assert nowhere.exit_code == 1
    assert "nowhere/x.parquet cannot be written" in nowhere.output
    assert "erased 0 records" in _fovea("log", "erase", "--caller", "nobody", "--state", server.state, *log)
    wrong = CliRunner().invoke(app, ["log", "query", "SELECT x FROM joined", *log])
    assert wrong.exit_code == 1
    assert "the tables are records, feedback and joined" in wrong.output


def test_without_a_log_feedback_and_look_ups_are_told_so(server: Served) -> None:
    for answer in (
        httpx.post(f"{server.url}/v1/feedback", json={"id": "a", "label": "cup"}),
        httpx.get(f"{server.url}/v1/features/{'0' * 64}"),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (409, "FEATURE_LOG_OFF")
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        vision_pb2_grpc.VisionStub(channel).GiveFeedback(vision_pb2.GiveFeedbackRequest())
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def _fovea(*words: object) -> str:
    """What the command says on stdout, run in this process: it starts quicker."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout
