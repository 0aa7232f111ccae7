"""Several models over one image: the same from each client, and failing as a classification would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.client.callers import ask, ask_at
from tests.client.said import DIGEST, EMBEDDER
from tests.client.scripted import Answered, Refused, Script, Slow, http_server

from fovea_client import (
    Analysis,
    BadImage,
    BadRequest,
    Client,
    DeadlineExceeded,
    FoveaClientError,
    ImageFacts,
    ModelIdentity,
    Prediction,
    Quality,
    Result,
    ServerFailed,
    StageTimings,
    Timings,
    UnknownModel,
    Unreachable,
)
from fovea_server import errors as served

EMBEDDING = (0.5, -0.25, 2.0)


def result(model: str, **different: Any) -> Result:
    """What the scripted server says of the first model, asked for one label."""
    said = {
        "model": ModelIdentity(model, "1", DIGEST),
        "predictions": (Prediction("class 0", 0, 0.5),),
        "quality": Quality(0.5, 0.25, 0.125),
        "embedding": None,
        "timings_ms": StageTimings(3.0, 4.0),
    }
    return Result(**{**said, **different})


def test_each_model_answers_in_the_order_of_asking(name: str) -> None:
    models = ["resnet50", EMBEDDER, "efficientnet_lite0"]
    assert ask(name, Script(), "analyze", b"image", models=models, top_k=1, request_id="r1") == Analysis(
        id="r1",
        image=ImageFacts("jpeg", 640, 480, 1, 5),
        results=(
            result("resnet50"),
            result(EMBEDDER, predictions=(), embedding=EMBEDDING, timings_ms=StageTimings(3.0, 5.0)),
            result("efficientnet_lite0", timings_ms=StageTimings(3.0, 6.0)),
        ),
        timings_ms=Timings(0.5, 0.25, 3.0, 4.0, 7.75),
    )


def test_a_result_is_found_by_the_name_of_its_model(name: str) -> None:
    analysis = ask(name, Script(), "analyze", b"image", models=("a", "b"))
    assert analysis.result_of("b") is analysis.results[1]
    with pytest.raises(KeyError, match="'c' was not asked, but a, b"):
        analysis.result_of("c")


def test_the_embeddings_come_when_asked_for(name: str) -> None:
    analysis = ask(name, Script(), "analyze", b"image", models=["a", "b"], embedding=True)
    assert [each.embedding for each in analysis.results] == [EMBEDDING, EMBEDDING]


def test_a_path_stands_for_the_bytes_in_the_file_which_are_sent_once(name: str, tmp_path: Path) -> None:
    path, script = tmp_path / "cat.jpg", Script()
    path.write_bytes(b"a cat")
    ask(name, script, "analyze", path, models=["a", "b", "c"])
    assert [asked.image for asked in script.asked] == [b"a cat"]


def test_it_is_tried_again_with_the_same_id_where_the_server_cannot_yet(name: str) -> None:
    script = Script(Refused(served.Busy("busy", retry_after=0.01)), Answered())
    analysis = ask(name, script, "analyze", b"image", models=["a"])
    assert [asked.request_id for asked in script.asked] == [analysis.id] * 2


@pytest.mark.parametrize(
    ("said", "raised"),
    [(served.UnknownModel, UnknownModel), (served.BadParameter, BadRequest), (served.Undecodable, BadImage)],
)
def test_an_error_has_the_class_and_the_id_that_a_classification_would_give_it(
    name: str, said: type[served.FoveaError], raised: type[FoveaClientError]
) -> None:
    with pytest.raises(raised, match="what went wrong") as caught:
        ask(name, Script(Refused(said("what went wrong"))), "analyze", b"image", models=["a"], request_id="r1")
    assert caught.value.request_id == "r1"


def test_a_slow_server_is_not_waited_for(name: str) -> None:
    with pytest.raises(DeadlineExceeded, match="in time"):
        ask(name, Script(Slow()), "analyze", b"image", models=["a"], timeout=0.2)


def test_where_nobody_listens_the_error_says_so(name: str, nobody: str) -> None:
    with pytest.raises(Unreachable, match=f"{nobody} .*fovea serve"):
        ask_at(name, nobody if "Grpc" in name else f"http://{nobody}", "analyze", b"image", models=["a"], retries=0)


def test_one_bare_name_is_not_taken_for_the_names_of_its_letters(name: str) -> None:
    script = Script()
    with pytest.raises(TypeError, match=r"models is 'vit'; it must be a list of names, like \['vit'\]"):
        ask(name, script, "analyze", b"image", models="vit")
    assert script.asked == []


def test_a_name_that_rest_would_take_for_two_is_refused_by_all(name: str) -> None:
    script = Script()
    with pytest.raises(ValueError, match="the model name 'a,b' has a comma in it"):
        ask(name, script, "analyze", b"image", models=["a,b"])
    assert script.asked == []


@pytest.mark.parametrize("model", ["größe & co=1", "a+b", "50%"])
def test_a_name_arrives_as_it_was_given(name: str, model: str) -> None:
    analysis = ask(name, Script(), "analyze", b"image", models=[model, "b"])
    assert [each.model.name for each in analysis.results] == [model, "b"]


@pytest.mark.parametrize("results", [None, [{}], ["a"], [1], [{"model": {"name": "a"}}]])
def test_an_answer_that_is_not_ours_is_said_to_be_so(results: Any) -> None:
    with http_server(Script(Answered({"results": results}))) as url, Client(url) as client:
        with pytest.raises(ServerFailed, match="did not answer like a Fovea server") as raised:
            client.analyze(b"image", models=["a"], request_id="r1")
        assert (raised.value.reason, raised.value.request_id) == ("NOT_OURS", "r1")
