"""Ask a Fovea server what is in a picture: over REST or gRPC, with or without asyncio."""

from fovea_client.answers import (
    Analysis,
    Classification,
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
from fovea_client.rest import Client
from fovea_client.rest_async import AsyncClient
from fovea_client.rpc import GrpcClient
from fovea_client.rpc_async import AsyncGrpcClient
from fovea_client.version import __version__

__all__ = [
    "Client",
    "AsyncClient",
    "GrpcClient",
    "AsyncGrpcClient",
    "connect",
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
