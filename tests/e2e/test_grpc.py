"""The gRPC face over a real Triton: answers, typed errors, the stream, health and reflection."""

from __future__ import annotations

import io
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image
from tests.e2e.served import Served

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_pipelines.package import ModelPackage


@pytest.fixture
def channel(server: Served) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", 64 << 20)]
    with grpc.insecure_channel(server.grpc, options=options) as channel:
        yield channel


@pytest.fixture
def vision(channel: grpc.Channel) -> vision_pb2_grpc.VisionStub:
    return vision_pb2_grpc.VisionStub(channel)


def _gif() -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF")
    return buffer.getvalue()


def test_a_photograph_gets_its_label_and_the_trailing_metadata_its_times(
    vision: vision_pb2_grpc.VisionStub, espresso: bytes, package: ModelPackage
) -> None:
    request = vision_pb2.ClassifyRequest(image=espresso, request_id="my-id", top_k=3, embedding=True)
    answer, call = vision.Classify.with_call(request, timeout=20)
    assert answer.id == "my-id"
    assert answer.model.digest == package.digest
    assert answer.predictions[0].label == "espresso"
    assert len(answer.predictions) == 3
    assert len(answer.embedding) == 1280
    assert answer.image.width == 600
    assert answer.timings_ms.total > answer.timings_ms.model > 0
    trailing = dict(call.trailing_metadata())
    assert trailing["x-request-id"] == "my-id"
    assert trailing["server-timing"].startswith("gateway;dur=")


@pytest.mark.parametrize(
    ("fields", "code", "reason", "text"),
    [
        ({"image": b""}, grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_BODY", "no image was sent"),
        ({"image": b"%!no image"}, grpc.StatusCode.INVALID_ARGUMENT, "NOT_AN_IMAGE", "served"),
        ({"image": _gif()}, grpc.StatusCode.INVALID_ARGUMENT, "FORMAT_NOT_SERVED", "GIF"),
        ({"image": bytes(20_000_001)}, grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_BYTES", "20,000,001"),
        ({"top_k": 0}, grpc.StatusCode.INVALID_ARGUMENT, "BAD_PARAMETER", "top_k is 0"),
        ({"top_k": -5}, grpc.StatusCode.INVALID_ARGUMENT, "BAD_PARAMETER", "top_k is -5"),
        ({"model": "nope"}, grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", "nope"),
    ],
)
def test_an_error_has_its_code_and_says_why_in_its_details(
    vision: vision_pb2_grpc.VisionStub,
    espresso: bytes,
    fields: dict[str, object],
    code: grpc.StatusCode,
    reason: str,
    text: str,
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        vision.Classify(vision_pb2.ClassifyRequest(**{"image": espresso, **fields}), timeout=20)
    error = raised.value
    assert error.code() is code
    assert text in error.details()
    assert _reason(error) == reason


def _reason(error: grpc.RpcError) -> str:
    raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(raw)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "fovea"
    assert status.code == error.code().value[0]
    return str(info.reason)


def test_a_truncated_photograph_is_undecodable(vision: vision_pb2_grpc.VisionStub, espresso: bytes) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        vision.Classify(vision_pb2.ClassifyRequest(image=espresso[:-10_000]), timeout=20)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _reason(raised.value) == "UNDECODABLE"


def test_a_stream_answers_each_image_and_a_bad_one_does_not_end_it(
    vision: vision_pb2_grpc.VisionStub, espresso: bytes
) -> None:
    def requests() -> Iterator[vision_pb2.ClassifyRequest]:
        for number in range(60):
            image = b"%!no image" if number % 10 == 3 else espresso[:-10_000] if number % 10 == 7 else espresso
            yield vision_pb2.ClassifyRequest(image=image, request_id=f"image-{number}", top_k=1)

    outcomes = {outcome.id: outcome for outcome in vision.ClassifyStream(requests(), timeout=60)}
    assert set(outcomes) == {f"image-{number}" for number in range(60)}
    for number in range(60):
        outcome = outcomes[f"image-{number}"]
        if number % 10 in (3, 7):
            assert outcome.WhichOneof("outcome") == "error"
            assert outcome.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        else:
            assert outcome.answer.predictions[0].label == "espresso"


def test_images_of_a_stream_without_ids_get_one_each_whatever_the_metadata_says(
    vision: vision_pb2_grpc.VisionStub, espresso: bytes
) -> None:
    requests = iter([vision_pb2.ClassifyRequest(image=espresso)] * 3)
    call = vision.ClassifyStream(requests, timeout=20, metadata=(("x-request-id", "same"),))
    assert len({outcome.id for outcome in call}) == 3


def test_an_empty_stream_ends_at_once(vision: vision_pb2_grpc.VisionStub) -> None:
    assert list(vision.ClassifyStream(iter(()), timeout=10)) == []


def test_the_models_can_be_listed(vision: vision_pb2_grpc.VisionStub, package: ModelPackage) -> None:
    (model,) = vision.ListModels(vision_pb2.ListModelsRequest(), timeout=10).models
    assert (model.identity.name, model.identity.digest) == (package.name, package.digest)
    assert model.ready
    assert model.default


def test_the_standard_health_service_says_serving(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "fovea.v1.Vision"):
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_a_caller_without_our_proto_learns_it_by_reflection_and_calls(channel: grpc.Channel, espresso: bytes) -> None:
    """What grpcurl does."""
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"fovea.v1.Vision", "grpc.health.v1.Health"} <= set(database.get_services())
    pool = DescriptorPool(database)
    method = pool.FindServiceByName("fovea.v1.Vision").FindMethodByName("Classify")
    assert method.input_type.fields_by_name["image"].number == 1
    call = channel.unary_unary("/fovea.v1.Vision/Classify")
    raw = call(vision_pb2.ClassifyRequest(image=espresso).SerializeToString(), timeout=20)
    assert vision_pb2.ClassifyResponse.FromString(raw).predictions[0].label == "espresso"
