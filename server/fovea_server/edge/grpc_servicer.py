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
from fovea_server.edge import grpc_status, options, request_id
from fovea_server.edge.rest_answers import server_timing
from fovea_server.errors import FoveaError
from fovea_server.logs import get_logger
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service

NAME = vision_pb2.DESCRIPTOR.services_by_name["Vision"].full_name

_log = get_logger("grpc")
_IN_ONE_STREAM = 32  # images of one stream that are worked on at once


class Vision(vision_pb2_grpc.VisionServicer):
    """fovea.v1.Vision over the service."""

    def __init__(self, service: Service, catalogue: Catalogue, readiness: Readiness) -> None:
        self._service = service
        self._catalogue = catalogue
        self._readiness = readiness

    async def Classify(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        question = _question(request, context)
        try:
            answer = await self._service.classify(question)
        except Exception as error:
            failure = _ours(error, question.id)
            status = grpc_status.of_error(failure, question.id)
            details = (grpc_status.DETAILS_KEY, status.SerializeToString())
            await context.abort(failure.rpc, status.message, (details, ("x-request-id", question.id)))
            raise
        context.set_trailing_metadata(
            (("x-request-id", answer.id), ("server-timing", server_timing(answer.timings_ms)))
        )
        return _message(answer)

    async def ClassifyStream(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        answered: asyncio.Queue[Any] = asyncio.Queue()
        room = asyncio.Semaphore(_IN_ONE_STREAM)
        tasks: set[asyncio.Task[None]] = set()

        async def work(question: Question) -> None:
            try:
                answered.put_nowait(await self._outcome(question))
            finally:
                room.release()

        async def read_all() -> None:
            async for request in requests:
                await room.acquire()
                task = asyncio.create_task(work(_question(request, context)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
            answered.put_nowait(None)

        reader = asyncio.create_task(read_all())
        try:
            while (outcome := await _next(answered, reader)) is not None:
                yield outcome
        finally:
            for task in (reader, *tasks):
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

    async def _outcome(self, question: Question) -> Any:
        """An answer, or an error that concerns this image alone."""
        try:
            answer = await self._service.classify(question)
        except Exception as error:
            status = grpc_status.of_error(_ours(error, question.id), question.id)
            return vision_pb2.ClassifyStreamResponse(id=question.id, error=status)
        return vision_pb2.ClassifyStreamResponse(id=question.id, answer=_message(answer))


async def _next(answered: asyncio.Queue[Any], reader: asyncio.Task[None]) -> Any:
    """The next outcome; raises what the reader raised, for instance that the caller went away."""
    getter = asyncio.create_task(answered.get())
    await asyncio.wait({getter, reader}, return_when=asyncio.FIRST_COMPLETED)
    if not getter.done() and reader.done() and reader.exception():
        getter.cancel()
        reader.result()
    return await getter


def _question(request: Any, context: grpc.aio.ServicerContext) -> Question:
    received = time.monotonic()
    metadata = dict(context.invocation_metadata() or ())
    left = context.time_remaining()
    return Question(
        id=request_id.accept(request.request_id or metadata.get("x-request-id")),
        image=request.image,
        model=request.model or None,
        top_k=request.top_k if request.HasField("top_k") else options.DEFAULT_TOP_K,
        embedding=request.embedding,
        deadline=Deadline(received + (options.DEFAULT_TIMEOUT if left is None else left)),
        received=received,
    )


def _ours(error: Exception, identity: str) -> FoveaError:
    """An error of ours as it is; any other is logged with its trace and told without it."""
    if isinstance(error, FoveaError):
        return error
    _log.error("unexpected failure", request_id=identity, exc_info=error)
    return FoveaError(f"an unexpected failure; the server's log has it under {identity}")


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
