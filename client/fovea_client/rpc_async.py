"""Ask a Fovea server over gRPC, from asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any

import grpc

from fovea_client import grpc_answers, grpc_wire, images
from fovea_client.answers import Analysis, Classification, Model
from fovea_client.attempts import AT_ONCE, Budget, Turns, answered_async
from fovea_client.context import NOTHING_ELSE, Context
from fovea_client.credentials import Pem, authorization, grpc_credentials
from fovea_client.errors import FoveaClientError
from fovea_client.feedback import Feedback, FeedbackReport, Status
from fovea_client.grpc_wire import Item, Outcome
from fovea_client.images import Image
from fovea_client.retry import Retry
from fovea_client.stream import Sending, check_many
from fovea_client.wire import vision_pb2, vision_pb2_grpc


class AsyncGrpcClient:
    """One server, over gRPC. Keeps its channel; use one client for many images, from any number of tasks."""

    def __init__(
        self,
        target: str = "127.0.0.1:8081",
        *,
        retries: int = 3,
        at_once: int = AT_ONCE,
        api_key: str | None = None,
        ca_file: Pem | None = None,
        client_certificate: tuple[Pem, Pem] | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`target` is HOST:PORT, grpc://HOST:PORT or, for TLS, grpcs://HOST:PORT; TLS too where a `ca_file` or a
        `client_certificate` is given (as for the REST client), or `credentials` of your own. `api_key` is
        FOVEA_API_KEY if not given. Of many tasks' calls `at_once` are under way, streams aside; the others wait within
        their timeouts.
        """
        if credentials is None and (ca_file or client_certificate or target.startswith("grpcs://")):
            credentials = grpc_credentials(ca_file, client_certificate)
        self._metadata = tuple(authorization(api_key).items())
        self._target = target = grpc_wire.target(target)
        self._retry = Retry(retries)
        self._turns = Turns(at_once)
        self._credentials = credentials

    async def classify(
        self,
        image: Image,
        *,
        model: str | None = None,
        top_k: int = 5,
        embedding: bool = False,
        timeout: float = 10.0,
        request_id: str | None = None,
        context: Context = NOTHING_ELSE,
    ) -> Classification:
        """The labels of one image: its bytes, or a path to them. `timeout` is in seconds, over all tries."""
        request = grpc_wire.classify(await images.read_async(image), model, top_k, embedding, request_id)
        return grpc_answers.classification(
            await self._answer(self._stub.Classify, request, timeout, request.request_id, context)
        )

    async def analyze(
        self,
        image: Image,
        *,
        models: Sequence[str],
        top_k: int = 5,
        embedding: bool = False,
        timeout: float = 10.0,
        request_id: str | None = None,
        context: Context = NOTHING_ELSE,
    ) -> Analysis:
        """What each of several models, by name, says of one image, which is sent once. The rest is as in `classify`."""
        request = grpc_wire.analyze(await images.read_async(image), models, top_k, embedding, request_id)
        return grpc_answers.analysis(
            await self._answer(self._stub.Analyze, request, timeout, request.request_id, context)
        )

    async def classify_stream(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        model: str | None = None,
        top_k: int = 5,
        embedding: bool = False,
        timeout: float = 60.0,
        context: Context = NOTHING_ELSE,
    ) -> AsyncIterator[tuple[str, Outcome]]:
        """Many images over one call: (id, answer or error) of each, as it is ready, in no particular order.

        An item is an image, known by its position ("0", "1", ...), or a pair of an id of yours and an image;
        the server logs an id of at most 128 letters, digits and ._:/+=@-, and another one in the place of any other.
        `timeout` is for the whole stream; nothing in it is tried twice.
        """
        check_many(items)
        sending = Sending(model, top_k, embedding)
        call = self._stub.ClassifyStream(
            sending.requests_async(items), timeout=timeout, metadata=self._metadata + context.metadata()
        )
        try:
            async for said in call:
                yield sending.received(said)
                while sending.unsent:
                    yield sending.unsent.popleft()
        except grpc.RpcError as error:
            if grpc_wire.is_lost(error):
                # Whoever refuses a stream says the same of a call that sends no images.
                await self._once(self._stub.ListModels, vision_pb2.ListModelsRequest(), Budget(timeout), None)
            raise grpc_wire.failure(error, self._target) from error
        finally:
            call.cancel()
        while sending.unsent:
            yield sending.unsent.popleft()
        if sending.failure is not None:
            raise sending.failure

    async def feedback(
        self, answer_id: str, label: str | int, *, model: str | None = None, timeout: float = 10.0
    ) -> Status:
        """Say what turned out to be true of an answer: a label of the model, or its index. It is kept; "matched" if
        the server gave that answer lately. Saying it again does no harm, and another label takes its place."""
        (outcome,) = await self._feedback([Feedback(answer_id, label, model)], timeout)
        if isinstance(outcome, FoveaClientError):
            raise outcome
        return outcome

    async def feedback_many(self, given: Iterable[Feedback], timeout: float = 60.0) -> FeedbackReport:
        """The same of up to 10,000 answers at once: each is kept, or refused with an error of its own."""
        return FeedbackReport.of(await self._feedback(given, timeout))

    async def models(self, timeout: float = 10.0) -> tuple[Model, ...]:
        """The models that can be asked for."""
        return grpc_answers.models(await self._answer(self._stub.ListModels, vision_pb2.ListModelsRequest(), timeout))

    async def ready(self, timeout: float = 10.0) -> bool:
        """Whether an image sent now would be answered. Asks once."""
        try:
            said = await self._once(self._stub.ListModels, vision_pb2.ListModelsRequest(), Budget(timeout), None)
        except FoveaClientError:
            return False
        return any(model.default and model.ready for model in grpc_answers.models(said))

    async def close(self) -> None:
        if "_channel" in self.__dict__:
            await self._channel.close()

    async def __aenter__(self) -> AsyncGrpcClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _feedback(self, given: Iterable[Feedback], timeout: float) -> list[Status | FoveaClientError]:
        said = await self._answer(self._stub.GiveFeedback, grpc_wire.feedback(given), timeout)
        return grpc_wire.feedback_outcomes(said)

    async def _answer(
        self,
        method: Any,
        request: Any,
        timeout: float,
        request_id: str | None = None,
        context: Context = NOTHING_ELSE,
    ) -> Any:
        return await answered_async(
            lambda budget: self._once(method, request, budget, request_id, context), self._retry, timeout, self._turns
        )

    async def _once(
        self, method: Any, request: Any, budget: Budget, request_id: str | None, context: Context = NOTHING_ELSE
    ) -> Any:
        try:
            return await method(request, timeout=budget.remaining(), metadata=self._metadata + context.metadata())
        except grpc.RpcError as error:
            raise grpc_wire.failure(error, self._target, request_id) from error

    # A channel belongs to the event loop that runs when it is made; a client may be made before there is one.
    @cached_property
    def _channel(self) -> Any:
        options = grpc_wire.options(self._target)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, options)
        return grpc.aio.secure_channel(self._target, self._credentials, options)

    @cached_property
    def _stub(self) -> Any:
        return vision_pb2_grpc.VisionStub(self._channel)  # type: ignore[no-untyped-call]
