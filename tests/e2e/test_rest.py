"""The REST face over a real Triton: the three ways to send an image, what comes back, and what bad input gets."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.served import Served

from fovea_pipelines.package import ModelPackage


def _classify(server: Served, content: bytes | None = None, query: str = "", **options: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/classify{query}", content=content, timeout=30, **options)


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_a_photograph_gets_its_label_the_models_identity_and_its_times(
    server: Served, espresso: bytes, package: ModelPackage
) -> None:
    response = _classify(server, espresso, headers={"X-Request-ID": "my-id-1"})
    answer = response.json()
    assert response.status_code == 200
    assert answer["id"] == response.headers["X-Request-ID"] == "my-id-1"
    assert answer["model"] == {"name": "efficientnet_lite0", "version": "1", "digest": package.digest}
    assert answer["predictions"][0]["label"] == "espresso"
    assert answer["predictions"][0]["index"] == 967
    assert answer["predictions"][0]["score"] == pytest.approx(0.94, abs=0.03)
    assert len(answer["predictions"]) == 5
    assert answer["image"] == {
        "format": "jpeg",
        "width": 600,
        "height": 400,
        "orientation": 1,
        "bytes": len(espresso),
    }
    assert set(answer["quality"]) == {"brightness", "contrast", "sharpness"}
    assert "embedding" not in answer
    times = answer["timings_ms"]
    assert times["preprocess"] > 0
    assert times["model"] > 0
    assert sum(times[stage] for stage in ("gateway", "queue", "preprocess", "model")) == pytest.approx(
        times["total"], abs=0.01
    )
    named = [part.split(";")[0] for part in response.headers["Server-Timing"].split(", ")]
    assert named == ["gateway", "queue", "preprocess", "model", "total"]


def test_the_three_ways_to_send_an_image_give_the_same_answer(server: Served, espresso: bytes) -> None:
    raw = [
        _classify(server, espresso, headers={"Content-Type": kind})
        for kind in ("image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded")
    ]
    form = httpx.post(f"{server.url}/v1/classify", files={"image": ("cup.jpg", espresso)}, timeout=30)
    document = httpx.post(f"{server.url}/v1/classify", json={"image": base64.b64encode(espresso).decode()}, timeout=30)
    answers = [response.json() for response in (*raw, form, document)]
    assert all(answer["predictions"] == answers[0]["predictions"] for answer in answers)


def test_top_k_and_embedding_are_what_was_asked_for(server: Served, espresso: bytes) -> None:
    answer = _classify(server, espresso, "?top_k=1000&embedding=true").json()
    scores = [prediction["score"] for prediction in answer["predictions"]]
    assert len(scores) == 1000
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert len(answer["embedding"]) == 1280


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "JPEG"])
def test_every_served_format_is_labelled_rightly(server: Served, espresso: bytes, kind: str) -> None:
    content = _encoded(Image.open(io.BytesIO(espresso)), kind)
    answer = _classify(server, content).json()
    assert answer["predictions"][0]["label"] == "espresso"
    assert answer["image"]["format"] == kind.lower()


PROBLEM_FIELDS = {"type", "title", "status", "detail", "reason", "request_id"}


def _assert_problem(response: httpx.Response, status: int, reason: str, detail: str) -> None:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == PROBLEM_FIELDS
    assert (response.status_code, problem["status"], problem["reason"]) == (status, status, reason), problem
    assert detail in problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-ID"]


def _picture(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    return _encoded(Image.new("RGB", size, "red"), kind)


def _huge_png() -> bytes:
    """A PNG whose header alone claims 10000 x 5001 pixels."""
    small = bytearray(_picture("PNG"))
    small[16:24] = (10_000).to_bytes(4, "big") + (5_001).to_bytes(4, "big")
    return bytes(small)


@pytest.mark.parametrize(
    ("content", "status", "reason", "detail"),
    [
        (b"", 400, "EMPTY_BODY", "no image was sent"),
        (b"%!hello, I am no image", 415, "NOT_AN_IMAGE", "JPEG, PNG, WebP, BMP"),
        (_picture("GIF"), 415, "FORMAT_NOT_SERVED", "JPEG, PNG, WebP, BMP"),
        (_picture("TIFF"), 415, "FORMAT_NOT_SERVED", "JPEG, PNG, WebP, BMP"),
        (_picture("PNG")[:-20], 422, "UNDECODABLE", ""),
        (_picture("JPEG")[:30], 422, "UNDECODABLE", ""),
        (_huge_png(), 422, "TOO_MANY_PIXELS", "10000x5001 is 50,010,000 pixels; at most 50,000,000"),
        (bytes(20_000_001), 413, "TOO_MANY_BYTES", "at most 20,000,000"),
    ],
    ids=["empty", "text", "gif", "tiff", "cut png", "cut jpeg", "bomb", "too long"],
)
def test_a_bad_image_is_told_what_is_wrong_with_it(
    server: Served, content: bytes, status: int, reason: str, detail: str
) -> None:
    _assert_problem(_classify(server, content), status, reason, detail)


def test_a_truncated_photograph_is_undecodable(server: Served, espresso: bytes) -> None:
    _assert_problem(_classify(server, espresso[:-10_000]), 422, "UNDECODABLE", "damaged or incomplete")


def test_a_body_announced_too_long_is_refused_before_it_is_sent(server: Served) -> None:
    # Spoken by hand: HTTP clients only listen for the answer once they have sent everything.
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576000\r\n\r\nfirst bytes")
        answer = ""
        while not answer.endswith("}"):
            answer += connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "the body has 1,048,576,000 bytes; at most 20,000,000 are read" in answer


@pytest.mark.parametrize(
    ("query", "headers", "status", "reason", "detail"),
    [
        ("?top_k=0", {}, 422, "BAD_PARAMETER", "top_k is 0; it must be 1 or more"),
        ("?top_k=many", {}, 422, "BAD_PARAMETER", "top_k is 'many'; it must be a whole number"),
        ("?top_k=", {}, 422, "BAD_PARAMETER", "whole number"),
        ("?embedding=maybe", {}, 422, "BAD_PARAMETER", "embedding is 'maybe'"),
        ("?topk=3", {}, 422, "BAD_PARAMETER", "there is no option 'topk'; there are: embedding, model, top_k"),
        ("?model=nope", {}, 404, "UNKNOWN_MODEL", "there is no model 'nope'; served: efficientnet_lite0"),
        ("", {"X-Request-Timeout": "soon"}, 422, "BAD_PARAMETER", "X-Request-Timeout is 'soon'"),
        ("", {"X-Request-Timeout": "-1"}, 422, "BAD_PARAMETER", "more than 0"),
        ("", {"X-Request-Timeout": "0.001"}, 504, "DEADLINE_EXCEEDED", "deadline"),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_allowed(
    server: Served, espresso: bytes, query: str, headers: dict[str, str], status: int, reason: str, detail: str
) -> None:
    _assert_problem(_classify(server, espresso, query, headers=headers), status, reason, detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "is not JSON"),
        (b"[]", "must be an object like"),
        (b'{"picture": "aGk="}', "must be an object like"),
        (b'{"image": 5}', "must be an object like"),
        (b'{"image": "not base64!"}', "is not base64"),
        (json.dumps({"image": "aGk=", "top_k": 3}).encode(), "mean nothing here: top_k"),
    ],
)
def test_json_that_cannot_be_read_is_told_why(server: Served, body: bytes, detail: str) -> None:
    response = _classify(server, body, headers={"Content-Type": "application/json"})
    _assert_problem(response, 400, "MALFORMED_REQUEST", detail)


@pytest.mark.parametrize(
    ("body", "boundary", "detail"),
    [
        (b"rubbish", "x", "the form"),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhi\r\n--x--\r\n', "x", "'image'"),
        (b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nhi\r\n--x--\r\n', "x", "send it as a file"),
        (b"--x--\r\n", None, "the form"),
        (
            (
                b'--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n1\r\n'
                b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhi\r\n--x--\r\n'
            ),
            "x",
            "mean nothing here: top_k; options such as top_k go into the query",
        ),
    ],
)
def test_a_form_that_cannot_be_read_is_told_why(server: Served, body: bytes, boundary: str | None, detail: str) -> None:
    kind = "multipart/form-data" + (f"; boundary={boundary}" if boundary else "")
    _assert_problem(_classify(server, body, headers={"Content-Type": kind}), 400, "MALFORMED_REQUEST", detail)


def test_names_that_utf_8_cannot_hold_are_told_all_the_same(server: Served) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="+2AA-"; filename="a"\r\n\r\nhi\r\n--x--\r\n'
    kind = "multipart/form-data; boundary=x; charset=utf-7"
    response = _classify(server, body, headers={"Content-Type": kind})
    _assert_problem(response, 400, "MALFORMED_REQUEST", "no field named 'image'")


def test_a_body_that_drips_is_cut_at_the_deadline(server: Served) -> None:
    def drops() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x"
            time.sleep(0.05)

    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nX-Request-Timeout: 0.5\r\n\r\n"
        )
        connection.settimeout(0.05)
        answer = b""
        for drop in drops():
            connection.sendall(drop)
            with contextlib.suppress(TimeoutError):
                answer += connection.recv(65536)
            if b"DEADLINE_EXCEEDED" in answer:
                break
    assert b"while the body was still being sent" in answer
    assert time.monotonic() - began < 4


def test_a_chunked_body_that_grows_too_long_is_refused_on_the_way(server: Served) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(21):
            yield bytes(1_000_000)

    _assert_problem(_classify(server, chunks()), 413, "TOO_MANY_BYTES", "at most 20,000,000")  # type: ignore[arg-type]


def test_a_form_or_json_around_too_many_bytes_is_refused(server: Served) -> None:
    form = httpx.post(f"{server.url}/v1/classify", files={"image": ("a.jpg", bytes(20_000_001))}, timeout=30)
    _assert_problem(form, 413, "TOO_MANY_BYTES", "at most 20,000,000")
    document = httpx.post(
        f"{server.url}/v1/classify", json={"image": base64.b64encode(bytes(20_000_001)).decode()}, timeout=30
    )
    _assert_problem(document, 413, "TOO_MANY_BYTES", "at most 20,000,000")


def test_a_request_id_that_is_not_fit_to_be_repeated_is_replaced(server: Served, espresso: bytes) -> None:
    answer = _classify(server, espresso, headers={"X-Request-ID": "a b<script>"}).json()
    assert len(answer["id"]) == 32


def test_what_is_not_there_is_a_problem_too(server: Served) -> None:
    _assert_problem(httpx.get(f"{server.url}/nothing"), 404, "NOT_FOUND", "GET /nothing")
    _assert_problem(httpx.get(f"{server.url}/v1/classify"), 405, "METHOD_NOT_ALLOWED", "GET /v1/classify")


def test_the_models_can_be_listed(server: Served, package: ModelPackage) -> None:
    (model,) = httpx.get(f"{server.url}/v1/models").json()["models"]
    assert model["name"] == "efficientnet_lite0"
    assert model["digest"] == package.digest
    assert (model["labels"], model["default"], model["ready"]) == (1000, True, True)


def test_health_and_readiness_and_documentation_answer(server: Served) -> None:
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "alive"}
    assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{server.url}/docs").status_code == 200
    document = httpx.get(f"{server.url}/openapi.json").json()
    operation = document["paths"]["/v1/classify"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "application/octet-stream",
        "image/*",
        "multipart/form-data",
        "application/json",
    }
    assert {parameter["name"] for parameter in operation["parameters"]} >= {"top_k", "embedding", "model"}


def test_metrics_count_what_was_answered_and_what_was_refused(server: Served, espresso: bytes) -> None:
    def value(series: str) -> float:
        lines = httpx.get(f"{server.url}/metrics").text.splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series + " ")), 0.0)

    answered, refused = 'fovea_requests_total{outcome="OK"}', 'fovea_requests_total{outcome="NOT_AN_IMAGE"}'
    slow, fast = (
        f'fovea_request_seconds_count{{ended="{ended}",priority="interactive"}}' for ended in ("answered", "refused")
    )
    before = [value(series) for series in (answered, refused, slow, fast)]
    _classify(server, espresso)
    _classify(server, b"%!no image")
    assert [value(series) for series in (answered, refused, slow, fast)] == [each + 1 for each in before]
    assert value("fovea_triton_up") == 1
    assert value("fovea_in_flight") == 0


def test_metrics_say_what_each_process_uses(server: Served) -> None:
    text = httpx.get(f"{server.url}/metrics").text
    exported = {
        (sample.labels["process"], sample.labels["number"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "fovea_process_resident_memory_bytes"
    }
    triton = server.triton()
    models = [child for child in triton.children() if child.name() != "sh"]  # which ends Triton when the gateway does
    there = [psutil.Process(server.process.pid), triton, *models]
    assert sorted(exported.values()) == pytest.approx(sorted(each.memory_info().rss for each in there), rel=0.1)
    assert {name for name, _ in exported} >= {"gateway", "tritonserver", "classify_efficientnet_lite0"}
