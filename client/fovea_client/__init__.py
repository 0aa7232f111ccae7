"""Ask a Fovea server what is in a picture: over REST or gRPC, with or without asyncio."""

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
