"""Ask Triton about one image over gRPC, and for models to come and go; its errors become ours."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from fovea_pipelines.triton_folders import ANALYZE
from fovea_pipelines.triton_messages import DEADLINE, LATE, PREPROCESSING, TICKET, UNDECODABLE
from fovea_pipelines.withdrawn import Board
from fovea_server.domain import Deadline, Inference, Model, Span
from fovea_server.errors import (
    Busy,
    DeadlineExceeded,
    FoveaError,
    InferenceFailed,
    ModelRefused,
    NotReady,
    StartError,
    Undecodable,
)
from fovea_server.triton import belongings, infer_messages, leftovers, process
from fovea_server.triton.connections import Answer, Connections, NotConnected, Outcome
from fovea_server.triton.process import TritonSettings
from fovea_server.triton.pulse import Pulse

_SERVICE = "/inference.GRPCInferenceService/"
_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # Triton is on this machine: when it is back, find out at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


_WENT_AWAY = "Triton went away while it was at work on this image"
# How Triton sounds when it stops, or has lost a model.
_STOPPING = ("has no available versions", "Server is stopping", "is not ready", "unknown model")

# std::bad_alloc, Python, threads that cannot be started (EAGAIN), the Python backend's shared memory.
_NO_MEMORY = (
    *("bad_alloc", "MemoryError", "Cannot allocate memory", "Resource temporarily unavailable"),
    *("shared memory pool", "No space left on device"),
)
# How Triton says that a model's process died or does not move: '{model}_{group}_{instance}'.
_UNHEALTHY = re.compile(r"[Ss]tub process '(.+?)_\d+_\d+'")
# What preprocessing measured; in the ensemble of all the names of outputs follow MODEL/.
_MEASURED = ("QUALITY", "PREPROCESS_SPAN")


class WorkerDied(NotReady):
    """Triton or one of its processes ended while this image was inside. To a caller it is NotReady like any other."""


class AgainIn(Protocol):
    """In how many seconds to try again what failed for want of a model's process, or of all of Triton."""

    def __call__(self, *, all_gone: bool = False) -> float: ...


class TritonClient:
    """To one tritonserver. Create it inside a running event loop.

    `key` opens the API that loads and unloads models; `pulse` knows which calls are under way. Images go over HTTP/1.1,
    which costs a third of what a call of grpc.aio does, so many `at_once`; what nobody waits for any more is said on a
    board.
    """

    def __init__(self, settings: TritonSettings, key: str, at_once: int, again_in: AgainIn) -> None:
        self._again_in = again_in
        self._connections = Connections(settings.http_address, at_once)
        self._board = _board()
        self._board_file = process.file_of_board(self._board.ticket())
        belongings.hold(self._board_file)
        self._channel = grpc.aio.insecure_channel(settings.grpc_address, options=_CHANNEL_OPTIONS)
        self._control = (("triton-grpc-protocol-fovea", key),)
        self.pulse = Pulse()
        self._config = self._method("ModelConfig")
        self._load = self._method("RepositoryModelLoad")
        self._unload = self._method("RepositoryModelUnload")
        self._index = self._method("RepositoryIndex")

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        """Ask the models about one encoded image: one by its own ensemble, several by the ensemble of all.

        Raises a FoveaError. The models are told the deadline too, and when this is cancelled.
        """
        if deadline.remaining() <= 0:
            raise DeadlineExceeded("the deadline passed before the model was asked")
        alone = len(models) == 1
        ticket = self._board.ticket()
        question = infer_messages.question(
            len(image),
            request_id,
            {DEADLINE: int(deadline.at * 1e9), TICKET: ticket},
            () if alone else _outputs_of_all(models),
        )
        path = f"/v2/models/{models[0].ensemble if alone else ANALYZE}/infer"
        try:
            tensors = infer_messages.tensors(await self._answer(models, path, question, image, deadline))
        except (asyncio.CancelledError, DeadlineExceeded, WorkerDied):
            self._board.withdraw(ticket)
            raise
        return [_inference(tensors)] if alone else [_inference(_of_model(model, tensors)) for model in models]

    async def _answer(
        self, models: Sequence[Model], path: str, question: bytes, image: bytes, deadline: Deadline
    ) -> Answer:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        timer = loop.call_later(deadline.remaining(), _end, answer, _too_late)
        needed = _working_for(models)
        with self.pulse.flight(needed, lambda why: _end(answer, lambda: self._died(why))) as flight:
            try:
                await self._connections.post(path, question, image, answer)
                said = await answer
            except NotConnected as error:
                raise NotReady(f"Triton is not there ({error})", retry_after=self._again_in(all_gone=True)) from None
            finally:
                timer.cancel()
            if callable(said):
                raise said()
            if said is None:
                raise self._died(_WENT_AWAY)
            if said.status == HTTPStatus.OK:
                self.pulse.answered(flight)
                return said
            problem = infer_messages.error(said)
            if stub := _UNHEALTHY.search(problem):
                self.pulse.ails((stub[1],))
            elif _is_out_of_memory(problem):
                preprocessing = flight.models & {model.preprocess for model in models}
                self.pulse.ails(preprocessing if preprocessing and PREPROCESSING in problem else flight.models)
            else:
                self.pulse.answered(flight)
            raise translate(said.status, problem, self._again_in())

    def _died(self, why: str) -> WorkerDied:
        return WorkerDied(why, retry_after=self._again_in())

    async def is_live(self, timeout: float) -> bool:
        """Whether Triton answers at all."""
        return await self._says_yes("/v2/health/live", timeout)

    async def is_ready(self, ensemble: str, timeout: float) -> bool:
        """Whether Triton says that the ensemble can answer; False where nothing answers at all."""
        return await self._says_yes(f"/v2/models/{ensemble}/ready", timeout)

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

    def hang_up(self) -> None:
        """Triton waits for connections that are open, also where nobody asks anything, before it ends."""
        self._connections.close()

    async def close(self) -> None:
        self.hang_up()
        await self._channel.close()
        self._board.close()
        belongings.let_go(self._board_file)

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

    async def _says_yes(self, path: str, timeout: float) -> bool:
        answer = await self._connections.get(path, timeout)
        return answer is not None and answer.status == HTTPStatus.OK

    def _method(self, name: str) -> Callable[..., Any]:
        """A unary call of Triton's service, by the messages that its own stubs use."""
        request, response = (getattr(service_pb2, f"{name}{kind}") for kind in ("Request", "Response"))
        method: Callable[..., Any] = self._channel.unary_unary(
            _SERVICE + name, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        return method


def _board() -> Board:
    try:
        return Board()
    except OSError as error:
        raise StartError(f"there is no room in shared memory: {error}", hint=leftovers.MORE_ROOM) from None


def _end(answer: asyncio.Future[Outcome], error: Callable[[], FoveaError]) -> None:
    """As a result rather than a cancellation, which would swallow one that comes from outside at the same moment."""
    if not answer.done():
        answer.set_result(error)


def _working_for(models: Sequence[Model]) -> list[str]:
    """What in Triton has processes that these models are answered by."""
    if len(models) == 1 and models[0].in_one:
        return [models[0].ensemble]
    return [name for model in models for name in (model.preprocess, model.network)]


def _outputs_of_all(models: Sequence[Model]) -> list[str]:
    """What the ensemble of all is to answer: it runs only the models whose outputs are asked for."""
    names = [f"{model.preprocess}/{output}" for model in models for output in _MEASURED]
    for model in models:
        outputs = ("SCORES", "EMBEDDING", "MODEL_SPAN") if model.labels else ("EMBEDDING", "MODEL_SPAN")
        names += [f"{model.network}/{output}" for output in outputs]
    return list(dict.fromkeys(names))


def _of_model(model: Model, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Of the outputs of all, those of one model, by the names they have in its own ensemble."""
    owners = {model.network, model.preprocess}
    split = ((name.rpartition("/"), tensor) for name, tensor in tensors.items())
    return {output: tensor for (owner, _, output), tensor in split if owner in owners}


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


def translate(status: int, problem: str, again_in: float) -> FoveaError:
    """What Triton answered with this HTTP status, as an error of ours. Its texts are those of tritonserver 2.51."""
    if UNDECODABLE in problem:
        return Undecodable(problem.rpartition(UNDECODABLE)[2])
    if LATE in problem:
        return _too_late()
    if "maximum queue size" in problem:
        return Busy("the model's queue is full", retry_after=1.0)
    if _is_out_of_memory(problem):
        return NotReady("a model's process got no memory; it is being replaced", retry_after=again_in)
    if "tub process" in problem:
        return WorkerDied(_WENT_AWAY, retry_after=again_in)
    if status == HTTPStatus.SERVICE_UNAVAILABLE or any(sign in problem for sign in _STOPPING):
        return NotReady("Triton went away before it took this image", retry_after=again_in)
    return InferenceFailed(f"Triton answered {status}: {problem[:300]}")


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while the model was at work")


def _is_out_of_memory(problem: str) -> bool:
    """Whether a model's process got no memory, or no shared memory: it may answer again, or never."""
    return any(sign in problem for sign in _NO_MEMORY)
