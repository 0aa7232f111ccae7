"""The gRPC face: read the message, ask the service, write the message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.domain import Answer, Deadline, Question
from fovea_server.edge import grpc_status, options, request_id, unexpected
from fovea_server.edge.server_timing import server_timing
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service

NAME = vision_pb2.DESCRIPTOR.services_by_name["Vision"].full_name

_IN_ONE_STREAM = 32  # images of one stream that are worked on at once


class Vision(vision_pb2_grpc.VisionServicer):
    """fovea.v1.Vision over the service."""

    def __init__(self, service: Service, catalogue: Catalogue, readiness: Readiness, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._unsent = 0  # images whose answers are not yet sent
        self.idle = asyncio.Event()
        self.idle.set()
        self._catalogue = catalogue
        self._readiness = readiness

    async def Classify(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        self._count_until_done(context)
        metadata = dict(context.invocation_metadata() or ())
        question = _question(request, context, request.request_id or metadata.get("x-request-id"))
        try:
            answer = await self._service.classify(question)
        except Exception as error:
            failure = self._ours(error, question.id)
            status = grpc_status.of_error(failure, question.id)
            details = (grpc_status.DETAILS_KEY, status.SerializeToString())
            await context.abort(failure.rpc, status.message, (details, ("x-request-id", question.id)))
            raise
        context.set_trailing_metadata(
            (("x-request-id", answer.id), ("server-timing", server_timing(answer.timings_ms)))
        )
        return _message(answer)

    async def ClassifyStream(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        """Reads on only while fewer than the limit are being worked on or wait to be sent."""
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
                        question = _question(request, context, request.request_id)
                        at_work.add(asyncio.create_task(self._outcome(question)))
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
                    default=model is self._catalogue.default,
                    ready=self._readiness.is_ready,
                )
                for model in self._catalogue
            ]
        )

    def _count_until_done(self, context: grpc.aio.ServicerContext) -> None:
        self._count(1)
        context.add_done_callback(lambda _: self._count(-1))

    def _count(self, change: int) -> None:
        self._unsent += change
        if self._unsent:
            self.idle.clear()
        else:
            self.idle.set()

    async def _outcome(self, question: Question) -> Any:
        """An answer, or an error that concerns this image alone."""
        try:
            answer = await self._service.classify(question)
        except Exception as error:
            status = grpc_status.of_error(self._ours(error, question.id), question.id)
            return vision_pb2.ClassifyStreamResponse(id=question.id, error=status)
        return vision_pb2.ClassifyStreamResponse(id=question.id, answer=_message(answer))

    def _ours(self, error: Exception, identity: str) -> FoveaError:
        """The error as the caller is told it, counted by its reason."""
        ours = unexpected.as_ours(error, identity)
        self._metrics.refused(ours.reason)
        return ours


async def _next(requests: Any) -> Any:
    """The stream's next request; None at its end."""
    return await anext(requests, None)


def _question(request: Any, context: grpc.aio.ServicerContext, identity: str | None) -> Question:
    received = time.monotonic()
    left = context.time_remaining()
    seconds = options.DEFAULT_TIMEOUT if left is None else min(left, options.MAX_TIMEOUT)
    return Question(
        id=request_id.accept(identity),
        image=request.image,
        model=request.model or None,
        top_k=request.top_k if request.HasField("top_k") else options.DEFAULT_TOP_K,
        embedding=request.embedding,
        deadline=Deadline(received + seconds),
        received=received,
    )


def _message(answer: Answer) -> Any:
    return vision_pb2.ClassifyResponse(
        id=answer.id,
        model=_identity(answer.model),
        predictions=[
            vision_pb2.Prediction(label=best.label, index=best.index, score=best.score) for best in answer.predictions
        ],
        image=vision_pb2.ImageFacts(**vars(answer.image)),
        quality=vision_pb2.Quality(**vars(answer.quality)),
        embedding=None if answer.embedding is None else answer.embedding.tolist(),
        timings_ms=vision_pb2.Timings(**vars(answer.timings_ms)),
    )


def _identity(identity: Any) -> Any:
    return vision_pb2.ModelIdentity(**vars(identity))
