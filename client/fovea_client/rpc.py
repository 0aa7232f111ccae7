"""Ask a Fovea server over gRPC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import grpc

from fovea_client import grpc_answers, grpc_wire, images
from fovea_client.answers import Analysis, Classification, Model
from fovea_client.attempts import Budget, answered
from fovea_client.context import NOTHING_ELSE, Context
from fovea_client.credentials import Pem, authorization, grpc_credentials
from fovea_client.errors import FoveaClientError
from fovea_client.feedback import Feedback, FeedbackReport, Status
from fovea_client.grpc_wire import Item, Outcome
from fovea_client.images import Image
from fovea_client.retry import Retry
from fovea_client.stream import Sending, check_many
from fovea_client.wire import vision_pb2, vision_pb2_grpc


class GrpcClient:
    """One server, over gRPC. Keeps its channel; use one client for many images, from any number of threads."""

    def __init__(
        self,
        target: str = "127.0.0.1:8081",
        *,
        retries: int = 3,
        api_key: str | None = None,
        ca_file: Pem | None = None,
        client_certificate: tuple[Pem, Pem] | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`target` is HOST:PORT, grpc://HOST:PORT or, for TLS, grpcs://HOST:PORT; TLS too where a `ca_file` or a
        `client_certificate` is given (as for the REST client), or `credentials` of your own. `api_key` is
        FOVEA_API_KEY if not given.
        """
        if credentials is None and (ca_file or client_certificate or target.startswith("grpcs://")):
            credentials = grpc_credentials(ca_file, client_certificate)
        self._metadata = tuple(authorization(api_key).items())
        self._target = target = grpc_wire.target(target)
        self._retry = Retry(retries)
        options = grpc_wire.options(target)
        self._channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self._stub: Any = vision_pb2_grpc.VisionStub(self._channel)  # type: ignore[no-untyped-call]

    def classify(
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
        request = grpc_wire.classify(images.read(image), model, top_k, embedding, request_id)
        return grpc_answers.classification(
            self._answer(self._stub.Classify, request, timeout, request.request_id, context)
        )

    def analyze(
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
        request = grpc_wire.analyze(images.read(image), models, top_k, embedding, request_id)
        return grpc_answers.analysis(self._answer(self._stub.Analyze, request, timeout, request.request_id, context))

    def classify_stream(
        self,
        items: Iterable[Item],
        *,
        model: str | None = None,
        top_k: int = 5,
        embedding: bool = False,
        timeout: float = 60.0,
        context: Context = NOTHING_ELSE,
    ) -> Iterator[tuple[str, Outcome]]:
        """Many images over one call: (id, answer or error) of each, as it is ready, in no particular order.

        An item is an image, known by its position ("0", "1", ...), or a pair of an id of yours and an image;
        the server logs an id of at most 128 letters, digits and ._:/+=@-, and another one in the place of any other.
        The items are read in another thread, as fast as they can be sent. `timeout` is for the whole stream; nothing in
        it is tried twice.
        """
        check_many(items)
        sending = Sending(model, top_k, embedding)
        call = self._stub.ClassifyStream(
            sending.requests(items), timeout=timeout, metadata=self._metadata + context.metadata()
        )
        try:
            for said in call:
                yield sending.received(said)
                while sending.unsent:
                    yield sending.unsent.popleft()
        except grpc.RpcError as error:
            raise grpc_wire.failure(error, self._target) from error
        finally:
            call.cancel()
        while sending.unsent:
            yield sending.unsent.popleft()
        if sending.failure is not None:
            raise sending.failure

    def feedback(self, answer_id: str, label: str | int, *, model: str | None = None, timeout: float = 10.0) -> Status:
        """Say what turned out to be true of an answer: a label of the model, or its index. It is kept; "matched" if
        the server gave that answer lately. Saying it again does no harm, and another label takes its place."""
        (outcome,) = self._feedback([Feedback(answer_id, label, model)], timeout)
        if isinstance(outcome, FoveaClientError):
            raise outcome
        return outcome

    def feedback_many(self, given: Iterable[Feedback], timeout: float = 60.0) -> FeedbackReport:
        """The same of up to 10,000 answers at once: each is kept, or refused with an error of its own."""
        return FeedbackReport.of(self._feedback(given, timeout))

    def models(self, timeout: float = 10.0) -> tuple[Model, ...]:
        """The models that can be asked for."""
        return grpc_answers.models(self._answer(self._stub.ListModels, vision_pb2.ListModelsRequest(), timeout))

    def ready(self, timeout: float = 10.0) -> bool:
        """Whether an image sent now would be answered. Asks once."""
        try:
            said = self._once(self._stub.ListModels, vision_pb2.ListModelsRequest(), Budget(timeout), None)
        except FoveaClientError:
            return False
        return any(model.default and model.ready for model in grpc_answers.models(said))

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _feedback(self, given: Iterable[Feedback], timeout: float) -> list[Status | FoveaClientError]:
        said = self._answer(self._stub.GiveFeedback, grpc_wire.feedback(given), timeout)
        return grpc_wire.feedback_outcomes(said)

    def _answer(
        self,
        method: Any,
        request: Any,
        timeout: float,
        request_id: str | None = None,
        context: Context = NOTHING_ELSE,
    ) -> Any:
        return answered(lambda budget: self._once(method, request, budget, request_id, context), self._retry, timeout)

    def _once(
        self, method: Any, request: Any, budget: Budget, request_id: str | None, context: Context = NOTHING_ELSE
    ) -> Any:
        try:
            return method(request, timeout=budget.remaining(), metadata=self._metadata + context.metadata())
        except grpc.RpcError as error:
            raise grpc_wire.failure(error, self._target, request_id) from error
