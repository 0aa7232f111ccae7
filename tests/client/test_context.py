"""What a caller says of an image besides its bytes, and the arm that answered: the same by each client."""

from __future__ import annotations

from typing import Any

import pytest
from tests.client.callers import ask
from tests.client.scripted import SERVERS, Answered, Script

from fovea_client import Context, Exposure, GrpcClient

CONTEXT = Context(unit="user 7", slices={"device": "phone", "region": "eu"}, priority="batch")
SENT = {"x-unit": "user 7", "x-slice": "device=phone;region=eu", "x-priority": "batch"}


@pytest.mark.parametrize(("verb", "options"), [("classify", {}), ("analyze", {"models": ["a", "b"]})])
def test_the_server_is_told(name: str, verb: str, options: dict[str, Any]) -> None:
    script = Script()
    ask(name, script, verb, b"image", context=CONTEXT, **options)
    ask(name, script, verb, b"image", **options)
    assert [asked.context for asked in script.asked] == [SENT, {}]


def test_a_stream_says_it_of_all_its_images() -> None:
    script = Script()
    with SERVERS["grpc"](script) as address, GrpcClient(address) as client:
        list(client.classify_stream([b"a", b"b"], context=CONTEXT))
    assert [asked.context for asked in script.asked] == [SENT, SENT]


@pytest.mark.parametrize(("verb", "options"), [("classify", {}), ("analyze", {"models": ["a", "b"]})])
def test_an_answer_names_the_arm_that_gave_it(name: str, verb: str, options: dict[str, Any]) -> None:
    assert ask(name, Script(Answered(arm="candidate")), verb, b"image", **options).experiment == Exposure(
        "story", "candidate"
    )
    assert ask(name, Script(), verb, b"image", **options).experiment is None


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"unit": "käthe"}, "X-Unit"),
        ({"unit": "7\r\nX-Priority: batch"}, "X-Unit"),
        ({"slices": {"device": "phone;region=eu"}}, "device=phone;region=eu"),
        ({"slices": {"a=b": "c"}}, "a=b=c"),
    ],
)
def test_what_no_header_can_carry_is_refused_before_it_is_sent(said: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Context(**said)
