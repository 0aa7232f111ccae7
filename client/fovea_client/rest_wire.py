"""REST on the wire: what is sent, and what an HTTP answer or the lack of one means."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from fovea_client import model_names
from fovea_client.context import NOTHING_ELSE, Context
from fovea_client.errors import DeadlineExceeded, FoveaClientError, ServerFailed, Unreachable, from_reason
from fovea_client.feedback import Feedback
from fovea_client.request_ids import made_or_checked
from fovea_client.version import __version__

LONGEST = 300.0  # seconds; servers refuse to be asked for more
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)

# A proxy in the environment is for the world outside, not for a server on this machine.
NO_PROXY: dict[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}

_OF_A_PATH = re.compile(r"(.*?)/v1/(classify|analyze|feedback|events|models|experiments|features)([/?].*)?")


@dataclass(frozen=True)
class Call:
    """One thing to ask; the same id on each try of it."""

    method: str
    path: str
    request_id: str
    params: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/octet-stream"
    context: Context = NOTHING_ELSE

    def headers(self, seconds: float) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "User-Agent": f"fovea-client/{__version__}",
            "X-Request-ID": self.request_id,
            "X-Request-Timeout": f"{min(seconds, LONGEST):.3f}",
            **self.context.headers(),
        }
        return headers if self.body is None else {**headers, "Content-Type": self.content_type}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


def base_url(url: str) -> str:
    """Where a server is, as the clients take it; raises ValueError for what is no URL, or that of one of its paths."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not a URL like http://127.0.0.1:8080")
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL like http://127.0.0.1:8080: {error}") from None
    if of_a_path := _OF_A_PATH.fullmatch(url):
        raise ValueError(f"{url!r} is a path of a server; the server itself is {of_a_path[1]!r}")
    return url.rstrip("/")


def classify(
    image: bytes, model: str | None, top_k: int, embedding: bool, request_id: str | None, context: Context
) -> Call:
    which = {"model": model} if model else {}
    return _about("/v1/classify", image, which, top_k, embedding, request_id, context)


def analyze(
    image: bytes, models: Iterable[str], top_k: int, embedding: bool, request_id: str | None, context: Context
) -> Call:
    which = {"models": ",".join(model_names.checked(models))}
    return _about("/v1/analyze", image, which, top_k, embedding, request_id, context)


def feedback(given: Feedback) -> Call:
    body = json.dumps(given.to_mapping()).encode()
    return Call("POST", "/v1/feedback", uuid.uuid4().hex, body=body, content_type="application/json")


def feedback_many(given: Iterable[Feedback]) -> Call:
    """A line each."""
    body = "".join(f"{json.dumps(one.to_mapping())}\n" for one in given).encode()
    return Call("POST", "/v1/feedback", uuid.uuid4().hex, body=body, content_type="application/x-ndjson")


def list_models() -> Call:
    return Call("GET", "/v1/models", uuid.uuid4().hex)


def readiness() -> Call:
    return Call("GET", "/readyz", uuid.uuid4().hex)


def no_answer(error: httpx.RequestError, url: str, call: Call) -> FoveaClientError:
    """What it means when no answer began."""
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return DeadlineExceeded(f"{url} did not answer in time", request_id=call.request_id)
    if isinstance(error, httpx.NetworkError | httpx.ConnectTimeout) or "disconnected" in str(error):
        return Unreachable.at(url, str(error) or "no connection in time", call.request_id)
    hint = "; is it a port for gRPC, for grpc:// or grpcs://?" if "illegal request line" in str(error) else ""
    return not_ours(url, f"{error}{hint}", call.request_id)


def cut_short(error: httpx.RequestError, url: str, call: Call) -> FoveaClientError:
    """What it means when an answer began and did not end."""
    if isinstance(error, httpx.TimeoutException):
        return too_slow(url, call)
    return ServerFailed(f"the answer of {url} was cut short: {error}", request_id=call.request_id)


def too_slow(url: str, call: Call) -> DeadlineExceeded:
    return DeadlineExceeded(f"the answer of {url} was not complete in time", request_id=call.request_id)


def not_ours(url: str, what: str, request_id: str | None) -> ServerFailed:
    return ServerFailed(f"{url} did not answer like a Fovea server: {what}", reason="NOT_OURS", request_id=request_id)


def content(reply: Reply, url: str, call: Call) -> dict[str, Any]:
    """The JSON of a good answer; a bad one is raised."""
    try:
        said = json.loads(reply.body)
    except ValueError:
        said = None
    is_good = reply.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED)
    if not isinstance(said, dict) or not (is_good or "reason" in said):
        raise not_ours(url, f"HTTP {reply.status}, {reply.body[:80]!r}", call.request_id)
    if is_good:
        return said
    raise from_reason(
        str(said["reason"]),
        str(said.get("detail") or said.get("title") or f"HTTP {reply.status}"),
        request_id=said.get("request_id") or call.request_id,
        retry_after=_seconds(reply.headers.get("retry-after")),
    )


def _about(
    path: str,
    image: bytes,
    which: dict[str, str],
    top_k: int,
    embedding: bool,
    request_id: str | None,
    context: Context,
) -> Call:
    params = {**which, "top_k": str(top_k)}
    if embedding:
        params["embedding"] = "true"
    return Call("POST", path, made_or_checked(request_id), params, image, context=context)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; None for a date, which only a proxy would send."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
