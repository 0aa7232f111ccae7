"""Every route and method there is, every kind of caller, and what the guard is to say to each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fovea_client import grpc_wire
from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.access import keys
from fovea_server.access.key_file import KeyFile

Keys = dict[str, str]


def make_keys(state: Path) -> Keys:
    """A key of each kind in that state folder; their texts."""
    kinds = {"infer": ["infer"], "admin": ["admin"], "read-log": ["read-log"], "revoked": ["infer", "admin"]}
    texts: Keys = {"wrong": f"fovea_{'0' * 12}_{'0' * 64}"}
    with KeyFile(state).changed() as kept:
        for kind, granted in kinds.items():
            key, texts[kind] = keys.make(kind, frozenset(granted), requests_per_second=1000)
            kept[key.id] = dataclasses.replace(key, revoked=time.time()) if kind == "revoked" else key
    return texts


def expected(who: str, needed: keys.Scope | None) -> int:
    """200 for who may, whatever the route itself then makes of the request."""
    if who in ("nobody", "wrong", "revoked"):
        return 401
    return 200 if needed is None or who == needed.value else 403


ROUTES = [
    ("POST", "/v1/classify"),
    ("POST", "/v1/analyze"),
    ("POST", "/v1/feedback"),
    ("GET", "/v1/features/{sha256}"),
    ("POST", "/v1/events"),
    ("GET", "/v1/experiments"),
    ("GET", "/v1/experiments/{name}"),
    ("GET", "/v1/experiments/{name}/report"),
    ("GET", "/v1/models"),
    ("GET", "/metrics"),
    ("GET", "/live"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/openapi.json"),
    ("GET", "/static-offline-docs/favicon.png"),
    ("GET", "/no-such-path"),
    ("GET", "/v1/classify"),
    ("PUT", "/metrics"),
    ("GET", "/healthz/"),
    ("GET", "/HEALTHZ"),
    ("GET", "/%2e%2e/healthz"),
    ("GET", "//healthz"),
]
WHO = ("nobody", "wrong", "revoked", "infer", "admin", "read-log")


async def _reflected(channel: grpc.aio.Channel, sent: tuple[tuple[str, str], ...]) -> Any:
    """Asks again where grpc.aio lost what the server said."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
    for _ in range(5):
        try:
            return await stub.ServerReflectionInfo(iter([request]), metadata=sent).read()
        except grpc.aio.AioRpcError as error:
            if not grpc_wire.is_lost(error):
                raise
    raise AssertionError("grpc.aio lost five answers of five")


async def _nothing() -> AsyncIterator[Any]:
    return
    yield


METHODS: dict[str, Callable[[grpc.aio.Channel, tuple[tuple[str, str], ...]], Awaitable[Any]]] = {
    "Classify": lambda channel, sent: vision_pb2_grpc.VisionStub(channel).Classify(
        vision_pb2.ClassifyRequest(), metadata=sent
    ),
    "Analyze": lambda channel, sent: vision_pb2_grpc.VisionStub(channel).Analyze(
        vision_pb2.AnalyzeRequest(), metadata=sent
    ),
    "GiveFeedback": lambda channel, sent: vision_pb2_grpc.VisionStub(channel).GiveFeedback(
        vision_pb2.GiveFeedbackRequest(), metadata=sent
    ),
    "ListModels": lambda channel, sent: vision_pb2_grpc.VisionStub(channel).ListModels(
        vision_pb2.ListModelsRequest(), metadata=sent
    ),
    "ClassifyStream": lambda channel, sent: (
        vision_pb2_grpc.VisionStub(channel).ClassifyStream(_nothing(), metadata=sent).read()
    ),
    "ServerReflectionInfo": _reflected,
}
