"""The servers that are compared: how each is started, and how it is asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fovea_client.load.photographs import Photograph

_BOUNDARY = "a3c1f09e5d7b42688f0e6d1c"


@dataclass(frozen=True)
class Door:
    """How a server is asked.

    path   of its POST
    body   Content-Type and body of the request for a photograph
    best   the index of the likeliest class, from its answer
    """

    path: str
    body: Callable[[Photograph], tuple[str, bytes]]
    best: Callable[[Any], int]


@dataclass(frozen=True)
class Peer:
    """A server we are compared with; those of one `name` share an environment.

    Words in braces, in `command` and `variables`, are filled in by running.py.

    ready      answers 200 to GET when it serves
    variables  of its environment
    """

    name: str
    title: str
    command: tuple[str, ...]
    ready: str
    door: Door
    variables: Mapping[str, str] = field(default_factory=dict)


def as_it_is(photograph: Photograph) -> tuple[str, bytes]:
    """The photograph is the body."""
    return photograph.media_type, photograph.encoded


def as_form(field: str) -> Callable[[Photograph], tuple[str, bytes]]:
    """The photograph is the one file of a form (RFC 7578)."""

    def body(photograph: Photograph) -> tuple[str, bytes]:
        head = (
            f"--{_BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{field}"; filename="photograph"\r\n'
            f"Content-Type: {photograph.media_type}\r\n\r\n"
        )
        encoded = head.encode() + photograph.encoded + f"\r\n--{_BOUNDARY}--\r\n".encode()
        return f"multipart/form-data; boundary={_BOUNDARY}", encoded

    return body


def as_tensor(photograph: Photograph) -> tuple[str, bytes]:
    """The photograph is a tensor of one string, in the JSON of the Open Inference Protocol (V2)."""
    tensor = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(photograph.encoded).decode("ascii")],
    }
    return "application/json", json.dumps({"inputs": [tensor]}).encode()


def _index(answer: Any) -> int:
    return int(answer["index"])


_FASTAPI = (
    *("{bin}/uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", "{port}"),
    *("--workers", "{workers}", "--no-access-log"),
)
OURS_TITLE = "Fovea"
OURS = Door("/v1/classify", as_it_is, lambda answer: int(answer["predictions"][0]["index"]))
PEERS = (
    Peer("fastapi", "FastAPI", _FASTAPI, "/openapi.json", Door("/classify", as_it_is, _index)),
    Peer("fastapi", "FastAPI, inline", _FASTAPI, "/openapi.json", Door("/classify-inline", as_it_is, _index)),
    Peer(
        "litserve",
        "LitServe",
        ("{bin}/python", "-m", "litserve_app"),
        "/health",
        Door("/predict", as_form("image"), _index),
    ),
    Peer(
        "bentoml",
        "BentoML",
        (
            *("{bin}/bentoml", "serve", "bentoml_app:Photographs", "--working-dir", "{servers}"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        "/readyz",
        Door("/classify", as_form("images"), lambda answer: int(answer[0]["index"])),
        {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{home}"},
    ),
    Peer(
        "mlserver",
        "MLServer",
        ("{bin}/mlserver", "start", "{servers}"),
        "/v2/health/ready",
        Door("/v2/models/photographs/infer", as_tensor, lambda answer: int(answer["outputs"][0]["data"][0])),
        {
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{port_2}",
            "MLSERVER_METRICS_PORT": "{port_3}",
            "MLSERVER_PARALLEL_WORKERS": "{workers}",
            "MLSERVER_DEBUG": "false",
        },
    ),
)
NAMES = tuple(dict.fromkeys(peer.name for peer in PEERS))
DOORS = {OURS_TITLE: OURS, **{peer.title: peer.door for peer in PEERS}}
