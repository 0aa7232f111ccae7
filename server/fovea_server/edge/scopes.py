"""What a caller's key must be good for: one table for both faces. What is in no table needs a good key of any scope."""

from __future__ import annotations

import re

from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from fovea_client.wire import vision_pb2
from fovea_server.access.keys import Scope

_VISION = vision_pb2.DESCRIPTOR.services_by_name["Vision"].full_name

# Balancers ask these, and they say nothing but yes or no.
OPEN_PATHS = frozenset(("/healthz", "/readyz"))
OPEN_SERVICES = frozenset((health.SERVICE_NAME,))

PATHS = {
    "/v1/classify": Scope.INFER,
    "/v1/analyze": Scope.INFER,
    "/v1/feedback": Scope.INFER,
    "/v1/features/{sha256}": Scope.READ_LOG,
    "/v1/events": Scope.INFER,
    "/v1/experiments": Scope.READ_LOG,
    "/v1/experiments/{name}": Scope.READ_LOG,
    "/v1/experiments/{name}/report": Scope.READ_LOG,
    "/v1/models": Scope.INFER,
    "/": Scope.INFER,
    "/docs": Scope.INFER,
    "/docs/oauth2-redirect": Scope.INFER,
    "/openapi.json": Scope.INFER,
    "/static-offline-docs": Scope.INFER,
    "/metrics": Scope.ADMIN,
    "/live": Scope.ADMIN,
}
SERVICES = {
    _VISION: Scope.INFER,
    reflection.SERVICE_NAME: Scope.INFER,
}

# For people with a browser, with what those pages fetch.
_PAGES = frozenset(("/", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/live", "/metrics"))
_REPORT = re.compile(r"/v1/experiments/[^/]+/report")

_BELOW = {
    "/static-offline-docs/": "/static-offline-docs",
    "/v1/features/": "/v1/features/{sha256}",
    "/v1/experiments/": "/v1/experiments/{name}",
}


def of_path(path: str) -> Scope | None:
    for beginning, known in _BELOW.items():
        if path.startswith(beginning):
            return PATHS[known]
    return PATHS.get(path)


def is_page(path: str) -> bool:
    return path in _PAGES or path.startswith("/static-offline-docs/") or _REPORT.fullmatch(path) is not None


def of_service(name: str) -> Scope | None:
    return SERVICES.get(name)
