"""What a good answer looks like, the same from each client."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.client.callers import ask
from tests.client.said import DIGEST, EMBEDDER, MODEL
from tests.client.scripted import Answered, Raw, Script, http_server

from fovea_client import (
    Classification,
    ImageFacts,
    Model,
    ModelIdentity,
    Prediction,
    Quality,
    ServerFailed,
    Timings,
    connect,
)
from fovea_client.rest import Client
from fovea_client.rpc import GrpcClient

IDENTITY = ModelIdentity("efficientnet_lite0", "1", DIGEST)


def test_an_image_gets_its_labels_and_all_that_was_learned(name: str) -> None:
    assert ask(name, Script(), "classify", b"image", top_k=2, request_id="r1") == Classification(
        id="r1",
        model=IDENTITY,
        predictions=(Prediction("class 0", 0, 0.5), Prediction("class 1", 1, 0.25)),
        image=ImageFacts("jpeg", 640, 480, 1, 5),
        quality=Quality(0.5, 0.25, 0.125),
        embedding=None,
        timings_ms=Timings(0.5, 0.25, 3.0, 4.0, 7.75),
    )


def test_the_embedding_comes_when_asked_for(name: str) -> None:
    assert ask(name, Script(), "classify", b"image", embedding=True).embedding == (0.5, -0.25, 2.0)


def test_a_model_that_only_embeds_answers_with_its_embedding_alone(name: str) -> None:
    said = ask(name, Script(), "classify", b"image", model=EMBEDDER)
    assert (said.predictions, said.embedding) == ((), (0.5, -0.25, 2.0))


def test_another_model_can_be_asked_for(name: str) -> None:
    assert ask(name, Script(), "classify", b"image", model="other").model.name == "other"


@pytest.mark.parametrize("as_text", [False, True])
def test_a_path_stands_for_the_bytes_in_the_file(name: str, as_text: bool, tmp_path: Path) -> None:
    path, script = tmp_path / "cat.jpg", Script()
    path.write_bytes(b"a cat")
    ask(name, script, "classify", str(path) if as_text else path)
    assert script.asked[0].image == b"a cat"


def test_each_request_has_an_id_even_if_the_caller_gave_none(name: str) -> None:
    script = Script()
    assert ask(name, script, "classify", b"image").id == script.asked[0].request_id != ""


def test_the_models_are_listed(name: str) -> None:
    expected = Model(
        IDENTITY, str(MODEL["description"]), "Apache-2.0", 1000, 1280, "openvino int8", default=True, ready=True
    )
    assert ask(name, Script(), "models") == (expected,)


@pytest.mark.parametrize("ready", [False, True])
def test_ready_is_what_the_server_says(name: str, ready: bool) -> None:
    assert ask(name, Script(ready=ready), "ready") is ready


@pytest.mark.parametrize("rest", ["Client", "AsyncClient"])
def test_fields_of_a_newer_server_are_left_aside(rest: str) -> None:
    newer = Answered(
        {
            "saliency": [1, 2],
            "model": {"name": "m", "version": "2", "digest": "d", "arm": "canary"},
            "predictions": [{"label": "cat", "index": 3, "score": 1.0, "wordnet": "n02121808"}],
        }
    )
    said = ask(rest, Script(newer), "classify", b"image")
    assert (said.model, said.predictions) == (ModelIdentity("m", "2", "d"), (Prediction("cat", 3, 1.0),))


@pytest.mark.parametrize("rest", ["Client", "AsyncClient"])
@pytest.mark.parametrize(
    "reply",
    [
        Raw(200, b"<html>It works!</html>"),
        Raw(200, b"[]"),
        Raw(200, b'{"id": "x"}'),
        Raw(502, b"Bad Gateway"),
        Raw(404, b'{"detail": "Not Found"}'),
    ],
)
def test_an_answer_that_is_not_ours_is_said_to_be_so(rest: str, reply: Raw) -> None:
    with pytest.raises(ServerFailed, match=r"http://127.*did not answer like a Fovea server") as raised:
        ask(rest, Script(reply), "classify", b"image")
    assert raised.value.reason == "NOT_OURS"


def test_connections_are_kept() -> None:
    script = Script()
    with http_server(script) as url, Client(url) as client:
        for _ in range(3):
            client.classify(b"image")
    assert len({asked.connection for asked in script.asked}) == 1


def test_an_address_says_which_protocol_to_speak() -> None:
    with connect("http://127.0.0.1:1") as rest, connect("grpc://127.0.0.1:1") as rpc:
        assert (type(rest), type(rpc)) == (Client, GrpcClient)
    for address in ("127.0.0.1:8080", "ftp://127.0.0.1", "grpc://", ""):
        with pytest.raises(ValueError, match="is not an address"):
            connect(address)
    for path in ("/v1/classify", "/v1/models/", "/v1/analyze?models=a,b"):
        with pytest.raises(ValueError, match="is a path of a server; the server itself is 'https://here/v1/prefix'"):
            connect(f"https://here/v1/prefix{path}")
    connect("https://here/v1/prefix/").close()
