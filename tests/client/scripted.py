"""A small real server, over HTTP and gRPC on free loopback ports, that answers what it was told to answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from tests.client import said

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.errors import FoveaError


@dataclass(frozen=True)
class Answered:
    """The good answer: as many labels as asked for, the embedding where asked for."""

    extra: dict[str, Any] = field(default_factory=dict)  # fields of a server newer than the client
    arm: str = ""  # of the experiment "story", where the caller met it


@dataclass(frozen=True)
class Refused:
    error: FoveaError


@dataclass(frozen=True)
class Raw:
    """Bytes over HTTP that no Fovea server would send."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Slow:
    """Nothing, until the test is over or these seconds are."""

    seconds: float = 3.0


@dataclass(frozen=True)
class HangUp:
    """The connection ends before an answer began (HTTP)."""


Reply = Answered | Refused | Raw | Slow | HangUp


@dataclass(frozen=True)
class Asked:
    """What the server saw of one request."""

    image: bytes
    request_id: str
    seconds: float
    params: dict[str, str]
    connection: Any = None
    authorization: str | None = None
    context: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)


class Script:
    """Replies in turn, the last one for ever; by the image's bytes where `by_image` names them."""

    def __init__(self, *replies: Reply, by_image: dict[bytes, Reply] | None = None, ready: bool = True) -> None:
        self._replies = list(replies) or [Answered()]
        self._by_image = by_image or {}
        self._lock = threading.Lock()
        self.ready = ready
        self.asked: list[Asked] = []
        self.over = threading.Event()

    def next(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if asked.image in self._by_image:
                return self._by_image[asked.image]
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


class _Handler(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        image = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        params = dict(parse_qsl(urlsplit(self.path).query))
        seconds = float(self.headers.get("X-Request-Timeout", "10"))
        asked = Asked(
            image,
            self.headers["X-Request-ID"],
            seconds,
            params,
            self.client_address,
            self.headers["Authorization"],
            _context(self.headers.items()),
        )
        self._reply(self.script.next(asked), asked)

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(
                200, json.dumps({"models": [{**said.MODEL, "ready": self.script.ready, "since": 2031}]}).encode()
            )
        else:
            self._send(200 if self.script.ready else 503, b"{}")

    def _reply(self, reply: Reply, asked: Asked) -> None:
        if isinstance(reply, Answered):
            self._send(200, json.dumps({**self._answer(asked), **_exposure(reply), **reply.extra}).encode())
        elif isinstance(reply, Refused):
            self._send(*_problem(reply.error, asked.request_id))
        elif isinstance(reply, Raw):
            self._send(reply.status, reply.body)
        else:
            if isinstance(reply, Slow):
                self.script.over.wait(reply.seconds)
            self.close_connection = True

    def _answer(self, asked: Asked) -> dict[str, Any]:
        params = asked.params
        wanted = (asked.image, asked.request_id, int(params.get("top_k", "5")), params.get("embedding") == "true")
        if urlsplit(self.path).path == "/v1/analyze":
            return said.analysis(*wanted, params["models"].split(","))
        return said.classification(*wanted, params.get("model", ""))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http_server(script: Script) -> Iterator[str]:
    """Its URL."""
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        script.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _exposure(reply: Answered) -> dict[str, Any]:
    return {"experiment": {"name": "story", "arm": reply.arm}} if reply.arm else {}


def _context(sent: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in sent if name.lower() in ("x-unit", "x-slice", "x-priority")}


def _problem(error: FoveaError, request_id: str) -> tuple[int, bytes, dict[str, str]]:
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": error.http.value,
        "detail": str(error),
        "reason": error.reason,
        "request_id": request_id,
    }
    headers = {"Content-Type": "application/problem+json"}
    if error.retry_after is not None:
        headers["Retry-After"] = f"{error.retry_after:g}"
    return error.http.value, json.dumps(body).encode(), headers


class _Vision(vision_pb2_grpc.VisionServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._reply(request, context, _classification)

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._reply(request, context, _analysis)

    def _reply(self, request: Any, context: Any, answer: Callable[[Any], Any]) -> Any:
        reply = self._script.next(_asked(request, context))
        if isinstance(reply, Answered):
            said = answer(request)
            return type(said)(**_exposure(reply), **{known.name: value for known, value in said.ListFields()})
        if isinstance(reply, Slow):
            self._script.over.wait(reply.seconds)
        if isinstance(reply, Refused):
            details = status(reply.error, request.request_id).SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(reply.error.rpc, str(reply.error))
        return context.abort(grpc.StatusCode.INTERNAL, "the script has no such reply over gRPC")

    def ClassifyStream(self, requests: Iterable[Any], context: Any) -> Iterator[Any]:  # noqa: N802
        """Answers overtake each other: the last comes first."""
        for request in reversed(list(requests)):
            reply = self._script.next(_asked(request, context))
            if isinstance(reply, Refused):
                error = status(reply.error, request.request_id)
                yield vision_pb2.ClassifyStreamResponse(id=request.request_id, error=error)
            else:
                yield vision_pb2.ClassifyStreamResponse(id=request.request_id, answer=_classification(request))

    def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        facts = {key: said.MODEL[key] for key in ("description", "licence", "labels", "features", "engine", "default")}
        identity = {key: said.MODEL[key] for key in ("name", "version", "digest")}
        model = vision_pb2.Model(identity=identity, ready=self._script.ready, **facts)
        return vision_pb2.ListModelsResponse(models=[model])


def _asked(request: Any, context: Any) -> Asked:
    key = dict(context.invocation_metadata()).get("authorization")
    params = {"top_k": str(request.top_k)}
    said = _context(context.invocation_metadata())
    return Asked(request.image, request.request_id, context.time_remaining(), params, authorization=key, context=said)


def _classification(request: Any) -> Any:
    return vision_pb2.ClassifyResponse(**said.classification(*_wanted(request), request.model))


def _analysis(request: Any) -> Any:
    return vision_pb2.AnalyzeResponse(**said.analysis(*_wanted(request), request.models))


def _wanted(request: Any) -> tuple[bytes, str, int, bool]:
    return request.image, request.request_id, request.top_k, request.embedding


def status(error: FoveaError, request_id: str) -> Any:
    details: list[Any] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain="fovea"),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.retry_after is not None:
        details.append(error_details_pb2.RetryInfo())
        details[-1].retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
    packed = [AnyMessage() for _ in details]
    for box, detail in zip(packed, details, strict=True):
        box.Pack(detail)
    return status_pb2.Status(code=error.rpc.value[0], message=str(error), details=packed)


@contextmanager
def grpc_server(script: Script) -> Iterator[str]:
    """Its target."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    vision_pb2_grpc.add_VisionServicer_to_server(_Vision(script), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        script.over.set()
        server.stop(0).wait(5)


SERVERS: dict[str, Callable[[Script], Any]] = {"rest": http_server, "grpc": grpc_server}
