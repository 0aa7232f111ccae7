"""Many images over one gRPC call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.client.scripted import Refused, Script, grpc_server

from fovea_client import (
    AsyncGrpcClient,
    BadImage,
    Classification,
    DeadlineExceeded,
    FoveaClientError,
    GrpcClient,
    Unreachable,
)
from fovea_server.errors import Undecodable

BROKEN = {b"broken": Refused(Undecodable("damaged after 3 rows"))}


def test_each_image_is_answered_and_a_bad_one_ends_nothing() -> None:
    script = Script(by_image=BROKEN)
    with grpc_server(script) as target, GrpcClient(target) as client:
        said = dict(client.classify_stream([b"a", b"broken", b"ccc"], top_k=1))
    assert sorted(said) == ["0", "1", "2"]
    assert [said[n].image.bytes for n in ("0", "2")] == [1, 3]
    assert (type(said["1"]), said["1"].reason, str(said["1"])) == (BadImage, "UNDECODABLE", "damaged after 3 rows")


async def test_the_same_from_asyncio_and_from_an_asynchronous_source() -> None:
    async def source() -> AsyncIterator[bytes]:
        for image in (b"a", b"broken", b"ccc"):
            yield image

    script = Script(by_image=BROKEN)
    with grpc_server(script) as target:
        async with AsyncGrpcClient(target) as client:
            said = {name: outcome async for name, outcome in client.classify_stream(source(), embedding=True)}
    assert [type(said[n]) for n in ("0", "1", "2")] == [Classification, BadImage, Classification]
    assert said["0"].embedding == (0.5, -0.25, 2.0)


def test_answers_are_known_by_the_callers_ids_when_they_overtake_each_other(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    with grpc_server(Script()) as target, GrpcClient(target) as client:
        said = list(client.classify_stream([("the-cat", tmp_path / "cat.jpg"), ("a-dog", b"doggy")]))
    assert [(name, outcome.image.bytes) for name, outcome in said] == [("a-dog", 5), ("the-cat", 3)]


def test_two_streams_share_no_id_on_the_wire() -> None:
    script = Script()
    with grpc_server(script) as target, GrpcClient(target) as client:
        for _ in range(2):
            list(client.classify_stream([b"a", b"b"]))
    assert len({asked.request_id for asked in script.asked}) == 4


def test_a_file_that_cannot_be_read_gets_an_error_of_its_own() -> None:
    with grpc_server(Script()) as target, GrpcClient(target) as client:
        said = dict(client.classify_stream([b"a", "/no/such/image.jpg", b"c"]))
    assert [type(said[n]) for n in ("0", "1", "2")] == [Classification, FoveaClientError, Classification]
    assert said["1"].reason == "UNREADABLE_FILE"
    assert "/no/such/image.jpg" in str(said["1"])


async def test_the_same_from_asyncio_with_nothing_else_in_the_stream() -> None:
    with grpc_server(Script()) as target:
        async with AsyncGrpcClient(target) as client:
            said = [(name, outcome.reason) async for name, outcome in client.classify_stream(["/no/such/image.jpg"])]
    assert said == [("0", "UNREADABLE_FILE")]


def test_an_image_that_no_message_holds_gets_an_error_of_its_own() -> None:
    with grpc_server(Script()) as target, GrpcClient(target) as client:
        said = dict(client.classify_stream([b"a", bytes(40_000_000), b"c"]))
    assert [type(said[n]) for n in ("0", "1", "2")] == [Classification, BadImage, Classification]
    assert (said["1"].reason, str(said["1"])[:30]) == ("TOO_MANY_BYTES", "the image has 40,000,000 bytes")


def test_an_id_that_no_server_would_repeat_stays_with_the_caller() -> None:
    script = Script(by_image=BROKEN)
    named = [("my cat.jpg", b"a"), ("", b"broken"), ("é" * 200, b"ccc"), ("fit.jpg", b"dddd"), ("a file", "/no/such")]
    with grpc_server(script) as target, GrpcClient(target) as client:
        said = dict(client.classify_stream(named))
    assert {name: getattr(outcome, "reason", None) for name, outcome in said.items()} == {
        "my cat.jpg": None,
        "": "UNDECODABLE",
        "é" * 200: None,
        "fit.jpg": None,
        "a file": "UNREADABLE_FILE",
    }
    assert said["é" * 200].image.bytes == 3
    on_the_wire = [asked.request_id for asked in script.asked]
    assert "fit.jpg" in on_the_wire
    assert {name[-2:] for name in on_the_wire if name != "fit.jpg"} == {"-0", "-1", "-2"}
    assert said["my cat.jpg"].id in on_the_wire  # what feedback is given by


async def test_both_are_so_from_asyncio() -> None:
    named = [("my cat.jpg", b"a"), ("a path", "nowhere\0"), ("large", bytes(40_000_000)), ("last", b"ccc")]
    with grpc_server(Script()) as target:
        async with AsyncGrpcClient(target) as client:
            said = {name: outcome async for name, outcome in client.classify_stream(named)}
    assert {name: getattr(outcome, "reason", None) for name, outcome in said.items()} == {
        "my cat.jpg": None,
        "a path": "UNREADABLE_FILE",
        "large": "TOO_MANY_BYTES",
        "last": None,
    }


def test_an_id_of_one_image_that_no_server_would_repeat_is_refused_before_it_is_lost() -> None:
    with (
        grpc_server(Script()) as target,
        GrpcClient(target) as client,
        pytest.raises(ValueError, match="the request id 'c d' is not 1 to 128"),
    ):
        client.classify(b"a", request_id="c d")


def test_one_image_is_no_stream() -> None:
    with GrpcClient("127.0.0.1:1") as client, pytest.raises(TypeError, match="classify_stream takes many images"):
        list(client.classify_stream("espresso.jpg"))


@pytest.mark.parametrize("address", ["localhost", "grpc://localhost", "http://127.0.0.1:8081", ":8081", ""])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not an address like 127"):
        GrpcClient(address)


def test_an_address_may_have_its_scheme() -> None:
    with grpc_server(Script()) as target, GrpcClient(f"grpc://{target}") as client:
        assert client.ready()


def test_a_stream_that_is_left_early_is_ended() -> None:
    with grpc_server(Script()) as target, GrpcClient(target) as client:
        stream = client.classify_stream([b"a", b"b", b"c"])
        next(stream)
        stream.close()
        assert client.ready()


def test_a_stream_has_a_deadline_too() -> None:
    def never_ending() -> Iterator[bytes]:
        while True:
            yield b"a"

    with grpc_server(Script()) as target, GrpcClient(target) as client, pytest.raises(DeadlineExceeded):
        list(client.classify_stream(never_ending(), timeout=0.2))


async def test_where_nobody_listens_a_stream_is_unreachable(nobody: str) -> None:
    with GrpcClient(nobody) as client, pytest.raises(Unreachable, match="fovea serve"):
        list(client.classify_stream([b"a"]))
    async with AsyncGrpcClient(nobody) as client:
        with pytest.raises(Unreachable, match="fovea serve"):
            [_ async for _ in client.classify_stream([b"a"])]
