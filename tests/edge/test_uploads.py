"""What stands around an image costs next to nothing, whatever it is."""

from __future__ import annotations

import asyncio
import base64
import tempfile
import tracemalloc

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message
from tests.edge.faces import faces

from fovea_server.domain import Deadline
from fovea_server.edge import uploads
from fovea_server.request.gate import Gate, GateSettings


async def test_json_of_very_many_values_is_refused_and_costs_no_memory() -> None:
    many = b'{"image": [' + b"[]," * 1_000_000 + b"0]}"
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        tracemalloc.start()
        try:
            json = {"Content-Type": "application/json"}
            problem = (await client.post("/v1/classify", content=many, headers=json)).json()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert problem["reason"] == "MALFORMED_REQUEST"
    assert "the JSON has 1,000,000 commas" in problem["detail"]
    assert peak < 30_000_000  # reading it would take 64 MB, and this end of the wire holds 3


async def test_a_form_that_is_there_at_once_is_not_parsed_at_once() -> None:
    """Some forms of 20 MB take 10 s to parse, in which nobody else would be answered."""
    body = (
        b'--B\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        + b"\r\n--Bx" * 300_000
        + b"\r\n--B--"
    )
    length = str(len(body)).encode()
    fields = [(b"content-type", b"multipart/form-data; boundary=B"), (b"content-length", length)]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    reading = asyncio.ensure_future(
        uploads.read_image(
            Request({"type": "http", "headers": fields}, receive), Gate(GateSettings()), Deadline.after(60)
        )
    )
    turns_of_others = 0
    while not reading.done():
        turns_of_others += 1
        await asyncio.sleep(0)
    assert len(await reading) == 6 * 300_000
    assert turns_of_others > len(body) / 100_000


@pytest.mark.parametrize("name", ["spool_max_size", "max_file_size"])
async def test_a_form_needs_no_disk_whichever_starlette_reads_it(
    espresso: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older Starlettes have another name for how much they keep in memory, 1 MB if they are not told."""
    assert getattr(uploads._Form, name) > GateSettings().max_bytes
    large = espresso + bytes(3_000_000)
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        answer = await client.post("/v1/classify", files={"image": ("a.jpg", large)})
    assert answer.status_code == 200


async def test_base64_may_be_a_data_url(espresso: bytes) -> None:
    encoded = base64.b64encode(espresso).decode()
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        for image, status in ((f"data:image/jpeg;base64,{encoded}", 200), (f"data:image/jpeg,{encoded}", 400)):
            assert (await client.post("/v1/classify", json={"image": image})).status_code == status


async def test_what_surrounds_an_image_wrongly_is_said_with_the_way_to_send_it(espresso: bytes) -> None:
    json = {"Content-Type": "application/json"}
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        for sent, said in (
            ({"content": espresso, "headers": json}, "the image itself needs no Content-Type"),
            ({"json": {"image": "https://here/cat.jpg"}}, "URLs are not fetched"),
            ({"json": {"image": "no base64!"}}, "is not base64"),
            ({"files": {"file": ("cat.jpg", espresso)}}, "with curl -F image=@FILE"),
            ({"content": espresso, "headers": {"Content-Encoding": "gzip"}}, "Content-Encoding is 'gzip'"),
        ):
            answer = await client.post("/v1/classify", **sent)
            assert (answer.status_code, answer.json()["reason"]) == (400, "MALFORMED_REQUEST")
            assert said in answer.json()["detail"]
        plain = await client.post("/v1/classify", content=espresso, headers={"Content-Encoding": "identity"})
        assert plain.status_code == 200


async def test_a_wrong_path_or_method_says_what_to_use() -> None:
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        for method, path, status, said in (
            ("PUT", "/v1/classify", 405, "PUT /v1/classify: method not allowed; use POST"),
            ("POST", "/v1/classify/", 404, "POST /v1/classify/: not found; what there is stands at /docs"),
            ("GET", "/docs/", 404, "GET /docs/: not found"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["status"]) == (status, status)
            assert said in answer.json()["detail"]


async def test_what_curl_makes_of_a_file_with_d_is_told_from_a_damaged_image(espresso: bytes) -> None:
    as_curl = {"Content-Type": "application/x-www-form-urlencoded"}
    stripped = espresso.translate(None, b"\0\r\n")
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        for sent in (stripped, b"espresso.jpg"):
            answer = await client.post("/v1/classify", content=sent, headers=as_curl)
            assert (answer.status_code, answer.json()["reason"]) == (400, "MALFORMED_REQUEST")
            assert "--data-binary @FILE" in answer.json()["detail"]
        for sent, headers in ((espresso, as_curl), (stripped, {})):
            answer = await client.post("/v1/classify", content=sent, headers=headers)
            assert "--data-binary" not in answer.text
        assert (await client.post("/v1/classify", headers=as_curl)).json()["reason"] == "EMPTY_BODY"


async def test_load_balancers_may_ask_with_head() -> None:
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
