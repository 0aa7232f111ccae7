"""Ask Triton about one image over gRPC, and turn its errors into ours."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from fovea_pipelines.triton_messages import UNDECODABLE
from fovea_server.domain import Deadline, Inference, Model, Span
from fovea_server.errors import Busy, DeadlineExceeded, FoveaError, InferenceFailed, NotReady, Undecodable

_SERVICE = "/inference.GRPCInferenceService/"
_DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "UINT8": np.dtype("u1")}
_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    # Triton is on this machine: when it is back, find out at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class TritonClient:
    """One channel to one tritonserver. Create it inside a running event loop."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._infer = self._channel.unary_unary(
            _SERVICE + "ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        self._model_ready = self._channel.unary_unary(
            _SERVICE + "ModelReady",
            request_serializer=service_pb2.ModelReadyRequest.SerializeToString,
            response_deserializer=service_pb2.ModelReadyResponse.FromString,
        )

    async def infer(self, model: Model, image: bytes, request_id: str, deadline: Deadline) -> Inference:
        """Run the model's ensemble on one encoded image. Raises a FoveaError; cancelling it cancels the call."""
        request = service_pb2.ModelInferRequest(
            model_name=model.ensemble,
            id=request_id,
            inputs=[_image_tensor(len(image))],
            raw_input_contents=[image],
        )
        try:
            response = await self._infer(request, timeout=max(deadline.remaining(), 0.001))
        except grpc.aio.AioRpcError as error:
            raise translate(error.code(), error.details() or "") from None
        return _inference(_tensors(response))

    async def is_ready(self, ensemble: str, timeout: float) -> bool:
        """Whether Triton says that the ensemble can answer; False where nothing answers at all."""
        try:
            response = await self._model_ready(service_pb2.ModelReadyRequest(name=ensemble), timeout=timeout)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.ready)

    async def close(self) -> None:
        await self._channel.close()


def _image_tensor(size: int) -> service_pb2.ModelInferRequest.InferInputTensor:
    return service_pb2.ModelInferRequest.InferInputTensor(name="IMAGE", datatype="UINT8", shape=[1, size])


def _tensors(response: service_pb2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """The outputs for the one image, by name, without the batch dimension."""
    return {
        output.name: np.frombuffer(raw, _DTYPES[output.datatype]).reshape(output.shape)[0]
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def _inference(tensors: dict[str, NDArray[Any]]) -> Inference:
    return Inference(
        scores=tensors["SCORES"],
        embedding=tensors["EMBEDDING"],
        quality=tensors["QUALITY"],
        preprocess=_span(tensors["PREPROCESS_SPAN"]),
        model=_span(tensors["MODEL_SPAN"]),
    )


def _span(nanoseconds: NDArray[Any]) -> Span | None:
    """Backends that cannot tell the time of a stage answer zeros."""
    begin, end = (int(value) for value in nanoseconds)
    return Span(begin / 1e9, end / 1e9) if end else None


def translate(code: grpc.StatusCode, details: str) -> FoveaError:
    """Triton's status as an error of ours. Its texts are those of tritonserver 2.51."""
    if UNDECODABLE in details:
        return Undecodable(details.rpartition(UNDECODABLE)[2])
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the deadline passed while the model was at work")
    if code is grpc.StatusCode.UNAVAILABLE and "maximum queue size" in details:
        return Busy("the model's queue is full", retry_after=1.0)
    if _is_gone(code, details):
        return NotReady("Triton went away while it was at work on this image", retry_after=2.0)
    return InferenceFailed(f"Triton answered {code.name}: {details[:300]}")


def _is_gone(code: grpc.StatusCode, details: str) -> bool:
    """Whether this is how Triton sounds when it stops, has died, or has lost a model's process."""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return True
    stopping = ("has no available versions", "Server is stopping", "is not ready", "unknown model")
    dead_stub = ("Stub process", "stub process")
    return any(text in details for text in (*stopping, *dead_stub))
