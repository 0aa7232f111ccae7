"""Ask Triton about one image over gRPC, and for models to come and go; its errors become ours."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from fovea_pipelines.triton_folders import ANALYZE
from fovea_pipelines.triton_messages import DEADLINE, LATE, UNDECODABLE
from fovea_server.domain import Deadline, Inference, Model, Span
from fovea_server.errors import Busy, DeadlineExceeded, FoveaError, InferenceFailed, ModelRefused, NotReady, Undecodable
from fovea_server.triton.pulse import Pulse

_SERVICE = "/inference.GRPCInferenceService/"
_DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "UINT8": np.dtype("u1")}
_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # A picture of 50 megapixels that was converted is a PNG of up to 200 MB.
    ("grpc.max_send_message_length", 256 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    # Triton is on this machine: when it is back, find out at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


_NEVER_SENT = ("failed to connect", "Failed to connect", "not ready", "Server is stopping")

# One network's outputs, and what its preprocessing measured; in the ensemble of all they follow MODEL/.
# std::bad_alloc, Python, threads that cannot be started (EAGAIN), the Python backend's shared memory.
_NO_MEMORY = (
    *("bad_alloc", "MemoryError", "Cannot allocate memory", "Resource temporarily unavailable"),
    *("shared memory pool", "No space left on device"),
)
# How Triton says that a model's process died or does not move: '{model}_{group}_{instance}'.
_UNHEALTHY = re.compile(r"[Ss]tub process '(.+?)_\d+_\d+'")
_MEASURED = ("QUALITY", "PREPROCESS_SPAN")


class WorkerDied(NotReady):
    """Triton or one of its processes ended while this image was inside. To a caller it is NotReady like any other."""


class TritonClient:
    """One channel to one tritonserver. Create it inside a running event loop.

    `key` opens the API that loads and unloads models; `pulse` knows which calls are under way. One that `is_patient`
    lets a call wait for a connection, inside its deadline: whoever is told that Triton is back, rather than asking
    until it is, hears it before gRPC tries to connect again.
    """

    def __init__(self, address: str, key: str, *, is_patient: bool = False) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._control = (("triton-grpc-protocol-fovea", key),)
        self._is_patient = is_patient
        self.pulse = Pulse()
        self._infer = self._method("ModelInfer")
        self._live = self._method("ServerLive")
        self._ready = self._method("ModelReady")
        self._config = self._method("ModelConfig")
        self._load = self._method("RepositoryModelLoad")
        self._unload = self._method("RepositoryModelUnload")
        self._index = self._method("RepositoryIndex")

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        """Ask the models about one encoded image: one by its own ensemble, several by the ensemble of all.

        Raises a FoveaError; cancelling it cancels the call. The models are told the deadline too.
        """
        if deadline.remaining() <= 0:
            raise DeadlineExceeded("the deadline passed before the model was asked")
        alone = len(models) == 1
        request = service_pb2.ModelInferRequest(
            model_name=models[0].ensemble if alone else ANALYZE,
            id=request_id,
            inputs=[_image_tensor(len(image))],
            outputs=[] if alone else [_wanted(name) for name in _outputs_of_all(models)],
            raw_input_contents=[image],
        )
        request.parameters[DEADLINE].int64_param = int(deadline.at * 1e9)
        tensors = _tensors(await self._answer(models, request, deadline))
        return [_inference(tensors)] if alone else [_inference(_of_model(model, tensors)) for model in models]

    async def _answer(
        self, models: Sequence[Model], request: service_pb2.ModelInferRequest, deadline: Deadline
    ) -> service_pb2.ModelInferResponse:
        call = self._infer(request, timeout=max(deadline.remaining(), 0.001), wait_for_ready=self._is_patient)
        needed = [name for model in models for name in (model.preprocess, model.network)]
        with self.pulse.flight(needed, call.cancel) as flight:
            try:
                response = await call
            except grpc.aio.AioRpcError as error:
                details = error.details() or ""
                if stub := _UNHEALTHY.search(details):
                    self.pulse.unhealthy.add(stub[1])
                elif _is_out_of_memory(details):
                    self.pulse.unhealthy |= flight.models
                elif error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    self.pulse.answered(flight)
                raise translate(error.code(), details) from None
            except asyncio.CancelledError:
                if flight.cut_off is None:
                    raise
                raise WorkerDied(flight.cut_off, retry_after=1.0) from None
            self.pulse.answered(flight)
        return response

    async def is_live(self, timeout: float) -> bool:
        """Whether Triton's gRPC face answers at all."""
        try:
            response = await self._live(service_pb2.ServerLiveRequest(), timeout=timeout)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.live)

    async def is_ready(self, ensemble: str, timeout: float) -> bool:
        """Whether Triton says that the ensemble can answer; False where nothing answers at all."""
        try:
            response = await self._ready(service_pb2.ModelReadyRequest(name=ensemble), timeout=timeout)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.ready)

    async def load(self, name: str, timeout: float) -> None:
        """Load a model, or load it again as it now is, with what it is made of. Raises ModelRefused."""
        await self._change(self._load, service_pb2.RepositoryModelLoadRequest(model_name=name), timeout)

    async def revive(self, name: str, timeout: float) -> None:
        """Give a model, whose process is gone, a new one. Raises ModelRefused.

        Triton 2.51 loads nothing whose files and configuration are as they were, and a change of the instances alone
        keeps the old ones: so it is given the model's own configuration with one parameter more, which nobody reads.
        """
        try:
            answer = await self._config(service_pb2.ModelConfigRequest(name=name), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise ModelRefused(f"Triton does not say how {name} is configured: {error.details()}") from None
        answer.config.parameters["revived"].string_value = str(time.time())
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        config = json_format.MessageToJson(answer.config, preserving_proto_field_name=True)
        request.parameters["config"].string_param = config
        await self._change(self._load, request, timeout)

    async def unload(self, name: str, timeout: float) -> None:
        """Unload a model and wait until its process is gone. Raises ModelRefused."""
        await self._change(self._unload, service_pb2.RepositoryModelUnloadRequest(model_name=name), timeout)
        deadline = Deadline.after(timeout)
        while await self._state(name) == "UNLOADING":
            if deadline.remaining() < 0:
                raise ModelRefused(f"Triton was not done with unloading {name} after {timeout:g} s")
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self._channel.close()

    async def _change(self, method: Callable[..., Any], request: Any, timeout: float) -> None:
        try:
            await method(request, timeout=timeout, metadata=self._control)
        except grpc.aio.AioRpcError as error:
            raise ModelRefused(f"Triton says of {request.model_name}: {(error.details() or '')[:500]}") from None

    async def _state(self, name: str) -> str:
        try:
            index = await self._index(service_pb2.RepositoryIndexRequest(), timeout=5.0, metadata=self._control)
        except grpc.aio.AioRpcError as error:
            raise ModelRefused(f"Triton does not say whether {name} is unloaded: {error.details()}") from None
        return next((str(model.state) for model in index.models if model.name == name), "")

    def _method(self, name: str) -> Callable[..., Any]:
        """A unary call of Triton's service, by the messages that its own stubs use."""
        request, response = (getattr(service_pb2, f"{name}{kind}") for kind in ("Request", "Response"))
        method: Callable[..., Any] = self._channel.unary_unary(
            _SERVICE + name, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        return method


def _outputs_of_all(models: Sequence[Model]) -> list[str]:
    """What the ensemble of all is to answer: it runs only the models whose outputs are asked for."""
    names = [f"{model.preprocess}/{output}" for model in models for output in _MEASURED]
    for model in models:
        outputs = ("SCORES", "EMBEDDING", "MODEL_SPAN") if model.labels else ("EMBEDDING", "MODEL_SPAN")
        names += [f"{model.network}/{output}" for output in outputs]
    return list(dict.fromkeys(names))


def _wanted(name: str) -> service_pb2.ModelInferRequest.InferRequestedOutputTensor:
    return service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name)


def _of_model(model: Model, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Of the outputs of all, those of one model, by the names they have in its own ensemble."""
    owners = {model.network, model.preprocess}
    split = ((name.rpartition("/"), tensor) for name, tensor in tensors.items())
    return {output: tensor for (owner, _, output), tensor in split if owner in owners}


def _image_tensor(size: int) -> service_pb2.ModelInferRequest.InferInputTensor:
    return service_pb2.ModelInferRequest.InferInputTensor(name="IMAGE", datatype="UINT8", shape=[1, size])


def _tensors(response: service_pb2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """The outputs for the one image, by name, without the batch dimension."""
    return {
        output.name: np.frombuffer(raw, _DTYPES[output.datatype]).reshape(output.shape)[0]
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def _inference(tensors: Mapping[str, NDArray[Any]]) -> Inference:
    return Inference(
        scores=tensors.get("SCORES"),
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
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or LATE in details:
        return DeadlineExceeded("the deadline passed while the model was at work")
    if code is grpc.StatusCode.UNAVAILABLE and "maximum queue size" in details:
        return Busy("the model's queue is full", retry_after=1.0)
    if _is_out_of_memory(details):
        return NotReady("a model's process got no memory; it is being replaced", retry_after=1.0)
    if _died(code, details):
        return WorkerDied("Triton went away while it was at work on this image", retry_after=2.0)
    if _is_gone(code, details):
        return NotReady("Triton went away while it was at work on this image", retry_after=2.0)
    return InferenceFailed(f"Triton answered {code.name}: {details[:300]}")


def _is_out_of_memory(details: str) -> bool:
    """Whether a model's process got no memory, or no shared memory: it may answer again, or never."""
    return any(sign in details for sign in _NO_MEMORY)


def _died(code: grpc.StatusCode, details: str) -> bool:
    """Whether something ended that had the image, rather than had not taken it yet."""
    cut = code is grpc.StatusCode.UNAVAILABLE and not any(text in details for text in _NEVER_SENT)
    return cut or "tub process" in details


def _is_gone(code: grpc.StatusCode, details: str) -> bool:
    """Whether this is how Triton sounds when it stops, has died, or has lost a model's process."""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return True
    stopping = ("has no available versions", "Server is stopping", "is not ready", "unknown model")
    dead_stub = ("Stub process", "stub process")
    return any(text in details for text in (*stopping, *dead_stub))
