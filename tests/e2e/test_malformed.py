"""Whatever is sent, however malformed: a typed answer, never a fault of ours, on either face."""

from __future__ import annotations

import grpc
import pytest
from tests.e2e import malformed
from tests.e2e.served import Served

from fovea_client.wire import vision_pb2
from fovea_server.edge.grpc_servicer import NAME


def test_the_openapi_document_is_kept_to_whatever_is_sent(server: Served) -> None:
    requests, wrong = malformed.schemathesis(server, examples=30)
    assert not wrong, wrong
    assert requests > 100
    assert server.is_ready()


def test_random_and_damaged_protobufs_are_told_what_they_are(server: Served, espresso: bytes) -> None:
    outcomes = malformed.protobufs(server, espresso, seconds=10)
    assert sum(outcomes.values()) > 300
    assert {code for code, _ in outcomes} <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}, outcomes
    assert all(reason for code, reason in outcomes if code != "OK"), outcomes
    assert outcomes["INVALID_ARGUMENT", "MALFORMED_REQUEST"] > 100
    assert server.is_ready()


def test_a_stream_ends_at_a_message_that_is_no_protobuf(server: Served, espresso: bytes) -> None:
    sound = vision_pb2.ClassifyRequest(image=espresso).SerializeToString()
    with grpc.insecure_channel(server.grpc) as channel:
        stream = channel.stream_stream(f"/{NAME}/ClassifyStream", bytes, vision_pb2.ClassifyStreamResponse.FromString)
        assert next(stream(iter([sound]), timeout=20)).answer.predictions[0].index == 967
        with pytest.raises(grpc.RpcError) as raised:
            list(stream(iter([b"\xff\xff\xff"]), timeout=20))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert malformed.reason(raised.value) == "MALFORMED_REQUEST"
