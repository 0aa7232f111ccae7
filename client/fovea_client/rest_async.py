"""Ask a Fovea server over REST, from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any

import httpx

from fovea_client import credentials, images, rest_answers, rest_wire
from fovea_client.answers import Analysis, Classification, Model
from fovea_client.attempts import AT_ONCE, Budget, Turns, answered_async
from fovea_client.context import NOTHING_ELSE, Context
from fovea_client.credentials import Pem
from fovea_client.errors import FoveaClientError
from fovea_client.feedback import Feedback, FeedbackReport, Status
from fovea_client.images import Image
from fovea_client.rest_wire import Call, Reply
from fovea_client.retry import Retry


class AsyncClient:
    """One server, over REST. Keeps its connections; use one client for many images, from any number of tasks."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        retries: int = 3,
        at_once: int = AT_ONCE,
        api_key: str | None = None,
        ca_file: Pem | None = None,
        client_certificate: tuple[Pem, Pem] | None = None,
    ) -> None:
        """Of many tasks' calls `at_once` are under way, and the others wait within their timeouts. `api_key` is
        FOVEA_API_KEY if not given. `ca_file` says whom to trust instead of the usual authorities,
        `client_certificate` is a certificate and its key to show; PEM files all.
        """
        self._url = rest_wire.base_url(url)
        self._retry = Retry(retries)
        self._turns = Turns(at_once)
        self._http = httpx.AsyncClient(
            base_url=self._url,
            limits=rest_wire.LIMITS,
            mounts=rest_wire.NO_PROXY,
            headers=credentials.authorization(api_key),
            verify=credentials.tls_context(ca_file, client_certificate),
        )

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
        call = rest_wire.classify(await images.read_async(image), model, top_k, embedding, request_id, context)
        return rest_answers.classification(await self._content(call, timeout), self._url)

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
        call = rest_wire.analyze(await images.read_async(image), models, top_k, embedding, request_id, context)
        return rest_answers.analysis(await self._content(call, timeout), self._url)

    async def feedback(
        self, answer_id: str, label: str | int, *, model: str | None = None, timeout: float = 10.0
    ) -> Status:
        """Say what turned out to be true of an answer: a label of the model, or its index. It is kept; "matched" if
        the server gave that answer lately. Saying it again does no harm, and another label takes its place."""
        call = rest_wire.feedback(Feedback(answer_id, label, model))
        return rest_answers.feedback(await self._content(call, timeout), self._url)

    async def feedback_many(self, given: Iterable[Feedback], timeout: float = 60.0) -> FeedbackReport:
        """The same of up to 10,000 answers at once: each is kept, or refused with an error of its own."""
        call = rest_wire.feedback_many(given)
        return rest_answers.feedback_report(await self._content(call, timeout), self._url)

    async def models(self, timeout: float = 10.0) -> tuple[Model, ...]:
        """The models that can be asked for."""
        return rest_answers.models(await self._content(rest_wire.list_models(), timeout), self._url)

    async def ready(self, timeout: float = 10.0) -> bool:
        """Whether an image sent now would be answered. Asks once."""
        try:
            reply = await self._once(rest_wire.readiness(), Budget(timeout))
            return reply.status == HTTPStatus.OK
        except FoveaClientError:
            return False

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _content(self, call: Call, timeout: float) -> dict[str, Any]:
        async def once(budget: Budget) -> dict[str, Any]:
            return rest_wire.content(await self._once(call, budget), self._url, call)

        return await answered_async(once, self._retry, timeout, self._turns)

    async def _once(self, call: Call, budget: Budget) -> Reply:
        try:
            # httpx times each read, not the whole: a server that drips would never be too slow.
            async with budget.limit():
                return await self._exchange(call, budget.remaining())
        except asyncio.TimeoutError as error:
            raise rest_wire.too_slow(self._url, call) from error

    async def _exchange(self, call: Call, seconds: float) -> Reply:
        try:
            response = await self._http.send(self._request(call, seconds), stream=True)
        except httpx.RequestError as error:
            raise rest_wire.no_answer(error, self._url, call) from error
        try:
            return Reply(response.status_code, response.headers, await response.aread())
        except httpx.RequestError as error:
            raise rest_wire.cut_short(error, self._url, call) from error
        finally:
            await response.aclose()

    def _request(self, call: Call, seconds: float) -> httpx.Request:
        return self._http.build_request(
            call.method,
            call.path,
            params=call.params,
            content=call.body,
            headers=call.headers(seconds),
            timeout=seconds,
        )
