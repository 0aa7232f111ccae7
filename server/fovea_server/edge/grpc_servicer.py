"""The gRPC face: read the message, ask the service, write the message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.access.guard import current
from fovea_server.domain import Answer, Deadline, Priority, Question, Result
from fovea_server.edge import grpc_feedback, grpc_status, options, request_id, slices, unexpected
from fovea_server.edge.server_timing import server_timing
from fovea_server.errors import FoveaError
from fovea_server.feature_log.log import FeatureLog
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service

NAME = vision_pb2.DESCRIPTOR.services_by_name["Vision"].full_name

_Models = Callable[[], tuple[str, ...]]  # whom to ask; raises a FoveaError

_IN_ONE_STREAM = 32  # images of one stream that are worked on at once


class Vision(vision_pb2_grpc.VisionServicer):
    """fovea.v1.Vision over the service."""

    def __init__(
        self,
        service: Service,
        catalogue: Catalogue,
        readiness: Readiness,
        metrics: Metrics,
        log: FeatureLog | None = None,
    ) -> None:
        self._service = service
        self._log = log
        self._metrics = metrics
        self._unsent = 0  # images whose answers are not yet sent
        self.idle = asyncio.Event()
        self.idle.set()
        self._catalogue = catalogue
        self._readiness = readiness

    async def Classify(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        models = options.one_model(request.model)
        return _classification(await self._answer(request, context, lambda: models))

    async def Analyze(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        return _analysis(await self._answer(request, context, lambda: options.several_models(request.models)))

    async def _answer(self, request: Any, context: grpc.aio.ServicerContext, models: _Models) -> Answer:
        """The service's answer to a call of one image; an error of ours ends the call."""
        self._count_until_done(context)
        metadata = dict(context.invocation_metadata() or ())
        identity = request_id.accept(request.request_id or metadata.get("x-request-id"))
        try:
            question = _question(request, context, identity, models(), _call(context))
            answer = await self._service.answer(question)
        except Exception as error:
            await grpc_status.abort(context, self._ours(error, identity), identity)
            raise
        degraded = (("x-degraded", "true"),) if answer.degraded else ()
        context.set_trailing_metadata(
            (("x-request-id", answer.id), ("server-timing", server_timing(answer.timings_ms)), *degraded)
        )
        return answer

    async def ClassifyStream(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        """Reads on only while fewer than the limit are being worked on or wait to be sent."""
        try:
            call = _call(context)
        except FoveaError as error:
            identity = request_id.accept(None)
            await grpc_status.abort(context, self._ours(error, identity), identity)
            raise
        at_work: set[asyncio.Task[Any]] = set()
        coming: asyncio.Task[Any] | None = asyncio.create_task(_next(requests))
        try:
            while coming or at_work:
                awaited = at_work | ({coming} if coming and len(at_work) < _IN_ONE_STREAM else set())
                done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if coming in done:
                    done.discard(coming)
                    request = coming.result()
                    coming = asyncio.create_task(_next(requests)) if request is not None else None
                    if request is not None:
                        identity = request_id.accept(request.request_id)
                        at_work.add(asyncio.create_task(self._outcome(request, context, identity, call)))
                        self._count(1)
                for task in done:
                    yield task.result()
                    at_work.discard(task)
                    self._count(-1)
        finally:
            self._count(-len(at_work))
            for task in (*at_work, *([coming] if coming else [])):
                task.cancel()

    async def ListModels(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        return vision_pb2.ListModelsResponse(
            models=[
                vision_pb2.Model(
                    identity=_identity(model.identity),
                    description=model.description,
                    licence=model.licence,
                    labels=len(model.labels),
                    features=model.features,
                    engine=model.engine,
                    default=model is self._catalogue.default,
                    ready=self._readiness.is_ready,
                )
                for model in self._catalogue
            ]
        )

    async def GiveFeedback(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        self._count_until_done(context)
        identity = request_id.accept(dict(context.invocation_metadata() or ()).get("x-request-id"))
        try:
            return await grpc_feedback.give(self._log, request, current.get(), identity)
        except Exception as error:
            await grpc_status.abort(context, self._ours(error, identity), identity)
            raise

    def _count_until_done(self, context: grpc.aio.ServicerContext) -> None:
        self._count(1)
        context.add_done_callback(lambda _: self._count(-1))

    def _count(self, change: int) -> None:
        self._unsent += change
        if self._unsent:
            self.idle.clear()
        else:
            self.idle.set()

    async def _outcome(self, request: Any, context: grpc.aio.ServicerContext, identity: str, call: _Call) -> Any:
        """An answer, or an error that concerns this image alone."""
        try:
            question = _question(request, context, identity, options.one_model(request.model), call)
            answer = await self._service.answer(question)
        except Exception as error:
            status = grpc_status.of_error(self._ours(error, identity), identity)
            return vision_pb2.ClassifyStreamResponse(id=identity, error=status)
        return vision_pb2.ClassifyStreamResponse(id=identity, answer=_classification(answer))

    def _ours(self, error: Exception, identity: str) -> FoveaError:
        """The error as the caller is told it, counted by its reason."""
        ours = unexpected.as_ours(error, identity)
        self._metrics.refused(ours.reason)
        return ours


async def _next(requests: Any) -> Any:
    """The stream's next request; None at its end."""
    return await anext(requests, None)


@dataclass(frozen=True)
class _Call:
    """What the metadata of a call say of its image, and of every image of a stream."""

    priority: Priority
    slices: slices.Slices
    unit: str


def _call(context: grpc.aio.ServicerContext) -> _Call:
    metadata = dict(context.invocation_metadata() or ())
    return _Call(
        options.priority(metadata.get(options.PRIORITY.lower())),
        slices.read(metadata.get(slices.HEADER.lower())),
        options.unit(metadata.get(options.UNIT.lower())),
    )


def _question(
    request: Any, context: grpc.aio.ServicerContext, identity: str, models: tuple[str, ...], call: _Call
) -> Question:
    received = time.monotonic()
    left = context.time_remaining()
    seconds = options.DEFAULT_TIMEOUT if left is None else min(left, options.MAX_TIMEOUT)
    return Question(
        id=identity,
        image=request.image,
        models=models,
        top_k=request.top_k if request.HasField("top_k") else options.DEFAULT_TOP_K,
        embedding=request.embedding,
        deadline=Deadline(received + seconds),
        received=received,
        caller=current.get(),
        priority=call.priority,
        slices=call.slices,
        unit=options.unit(request.unit) or call.unit,
    )


def _classification(answer: Answer) -> Any:
    (result,) = answer.results
    return vision_pb2.ClassifyResponse(
        id=answer.id,
        image=vision_pb2.ImageFacts(**vars(answer.image)),
        timings_ms=vision_pb2.Timings(**vars(answer.timings_ms)),
        experiment=_exposure(answer),
        **_said(result),
    )


def _analysis(answer: Answer) -> Any:
    return vision_pb2.AnalyzeResponse(
        id=answer.id,
        image=vision_pb2.ImageFacts(**vars(answer.image)),
        results=[
            vision_pb2.Result(timings_ms=vision_pb2.StageTimings(**vars(result.timings_ms)), **_said(result))
            for result in answer.results
        ],
        timings_ms=vision_pb2.Timings(**vars(answer.timings_ms)),
        experiment=_exposure(answer),
    )


def _exposure(answer: Answer) -> Any:
    """None where no experiment decided who answers."""
    exposure = answer.exposure
    return exposure and vision_pb2.Exposure(name=exposure.experiment, arm=exposure.arm)


def _said(result: Result) -> dict[str, Any]:
    """What a result is made of in either message."""
    return {
        "model": _identity(result.model),
        "predictions": [
            vision_pb2.Prediction(label=best.label, index=best.index, score=best.score) for best in result.predictions
        ],
        "quality": vision_pb2.Quality(**vars(result.quality)),
        "embedding": None if result.embedding is None else result.embedding.tolist(),
    }


def _identity(identity: Any) -> Any:
    return vision_pb2.ModelIdentity(**vars(identity))
