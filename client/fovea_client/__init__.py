"""Ask a Fovea server what is in a picture: over REST or gRPC, with or without asyncio."""

import importlib
from typing import TYPE_CHECKING, Any

from fovea_client.answers import (
    Analysis,
    Classification,
    Exposure,
    ImageFacts,
    Model,
    ModelIdentity,
    Prediction,
    Quality,
    Result,
    StageTimings,
    Timings,
)
from fovea_client.connect import connect
from fovea_client.context import Context
from fovea_client.errors import (
    BadImage,
    BadRequest,
    DeadlineExceeded,
    FoveaClientError,
    NotAllowed,
    NotReady,
    ServerBusy,
    ServerFailed,
    UnknownModel,
    Unreachable,
)
from fovea_client.feedback import Feedback, FeedbackReport
from fovea_client.version import __version__

if TYPE_CHECKING:
    from fovea_client.rest import Client
    from fovea_client.rest_async import AsyncClient
    from fovea_client.rpc import GrpcClient
    from fovea_client.rpc_async import AsyncGrpcClient

__all__ = [
    "Client",
    "AsyncClient",
    "GrpcClient",
    "AsyncGrpcClient",
    "connect",
    "Context",
    "Feedback",
    "FeedbackReport",
    "Classification",
    "Analysis",
    "Result",
    "ImageFacts",
    "Model",
    "ModelIdentity",
    "Prediction",
    "Quality",
    "Timings",
    "StageTimings",
    "Exposure",
    "FoveaClientError",
    "BadImage",
    "BadRequest",
    "NotAllowed",
    "UnknownModel",
    "ServerBusy",
    "NotReady",
    "DeadlineExceeded",
    "ServerFailed",
    "Unreachable",
    "__version__",
]

_CLIENTS = {"Client": "rest", "AsyncClient": "rest_async", "GrpcClient": "rpc", "AsyncGrpcClient": "rpc_async"}


def __getattr__(name: str) -> Any:
    """The clients, each imported when it is first asked for (PEP 562): httpx takes 0.2 s of CPU time, grpc 0.1."""
    if name not in _CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = client = getattr(importlib.import_module(f"{__name__}.{_CLIENTS[name]}"), name)
    return client
