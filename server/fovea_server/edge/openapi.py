"""What the OpenAPI document says and FastAPI cannot see: requests, failures and keys are dealt with by ourselves."""

from __future__ import annotations

import enum
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from fovea_server import errors
from fovea_server.edge import options, problems, rest_answers, scopes, slices
from fovea_server.edge.request_id import HEADER
from fovea_server.errors import FoveaError

DESCRIPTION = """Send the bytes of a picture, get labels and an embedding back.

Every failure is a problem document (RFC 9457) whose `reason` is one of those in docs/errors.md.
"""

_ASKS_FOR_KEYS = """
This server asks for API keys: give yours to the button Authorize, also if a browser has asked for it already.
"""


class Tag(str, enum.Enum):
    """How the paths are grouped."""

    IMAGES = "Images"
    TRUTH = "Truth and features"
    EXPERIMENTS = "Experiments"
    OPERATION = "Operation"


TAGS = [
    {"name": Tag.IMAGES.value, "description": "Labels and embeddings, and the models that give them."},
    {"name": Tag.TRUTH.value, "description": "What turned out to be true of an image, and what is on record of it."},
    {"name": Tag.EXPERIMENTS.value, "description": "A/B tests: what there is, what became of it."},
    {"name": Tag.OPERATION.value, "description": "For balancers and monitoring."},
]

_ANYWHERE: tuple[type[FoveaError], ...] = (
    *(errors.MalformedRequest, errors.ReceiveTimeout, errors.HeadersTooLarge, errors.TooManyConnections),
    *(errors.Unauthenticated, errors.PermissionDenied, FoveaError),
)
_OF_AN_IMAGE: tuple[type[FoveaError], ...] = (
    *(errors.EmptyBody, errors.UnknownModel, errors.BadParameter, errors.TooManyBytes),
    *(errors.NotAnImage, errors.FormatNotServed, errors.Undecodable, errors.TooManyPixels, errors.SideTooLong),
    *(errors.TooManyFrames, errors.TooMuchMetadata, errors.ProfileTooLarge, errors.Quarantined),
    *(errors.Busy, errors.Shed, errors.QuotaExceeded, errors.NotReady, errors.CrashLoop, errors.InferenceFailed),
    *(errors.DeadlineUnreachable, errors.DeadlineExceeded),
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/octet-stream": _BINARY,
        "image/*": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary"}},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "additionalProperties": False,
                "properties": {"image": {"type": "string", "format": "byte", "description": "base64"}},
            }
        },
    },
}
ONE_MODEL = {
    "name": "model",
    "in": "query",
    "description": "Which model; the default if not given",
    "schema": {"type": "string"},
}
SEVERAL_MODELS = {
    "name": "models",
    "in": "query",
    "required": True,
    "description": "Which models, with commas between",
    "schema": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "style": "form",
    "explode": False,
}
_OPTIONS: tuple[dict[str, Any], ...] = (
    {
        "name": "top_k",
        "in": "query",
        "description": "How many labels, best first",
        "schema": {"type": "integer", "minimum": 1, "default": options.DEFAULT_TOP_K},
    },
    {
        "name": "embedding",
        "in": "query",
        "description": "Whether to return the embedding",
        "schema": {"type": "boolean", "default": False},
    },
    {
        "name": HEADER,
        "in": "header",
        "description": "Returned as the answer's id; replaced if it is not 1 to 128 of A-Z a-z 0-9 . _ : / + = @ -",
        "schema": {"type": "string", "maxLength": 128},
    },
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds the caller is willing to wait",
        "schema": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": options.MAX_TIMEOUT,
            "default": options.DEFAULT_TIMEOUT,
        },
    },
    {
        "name": options.PRIORITY,
        "in": "header",
        "description": "Under load, batch waits longer and is turned away first",
        "schema": {"type": "string", "enum": ["interactive", "batch"], "default": "interactive"},
    },
    {
        "name": slices.HEADER,
        "in": "header",
        "description": "What the caller says of the image, for the feature log: device=phone;region=eu",
        "schema": {"type": "string"},
    },
    {
        "name": options.UNIT,
        "in": "header",
        "description": "Whom experiments are to treat alike, such as a user: whoever says the same meets the same arm; "
        "in UTF-8",
        "schema": {"type": "string", "maxLength": options.LONGEST_UNIT},
    },
)
_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key; docs/access.md says who makes one"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in a header of its own"},
}


def image_path(answer: type[BaseModel], which: dict[str, Any]) -> dict[str, Any]:
    """Of a path that takes an image: what FastAPI's `add_api_route` takes to describe it."""
    return {
        "tags": [Tag.IMAGES],
        "responses": {200: {"model": answer}, **failures(*_OF_AN_IMAGE)},
        "openapi_extra": {"requestBody": _BODY, "parameters": [which, *_OPTIONS]},
    }


def failures(*own: type[FoveaError]) -> dict[int | str, dict[str, Any]]:
    """The responses of a path that fails in these ways, and in those of all paths, by HTTP status."""
    by_status: dict[int | str, list[type[FoveaError]]] = {}
    for error in sorted({*own, *_ANYWHERE}, key=lambda error: error.reason):
        by_status.setdefault(error.http.value, []).append(error)
    schema = {"$ref": f"#/components/schemas/{rest_answers.ProblemDocument.__name__}"}
    return {
        status: {
            "description": "\n".join(f"- `{error.reason}`: {error.title}" for error in these),
            "content": {
                problems.MEDIA_TYPE: {"schema": schema, "examples": {one.reason: _example(one) for one in these}}
            },
        }
        for status, these in sorted(by_status.items())
    }


def _example(error: type[FoveaError]) -> dict[str, Any]:
    said = "what is wrong with this very request, with its numbers"
    return {"value": problems.document(error.http, error.reason, error.title, said, "0a1b2c3d4e5f60718293a4b5c6d7e8f9")}


def complete(app: FastAPI, *, asks_for_keys: bool) -> None:
    """Have the document of `app` describe problem documents, and where keys are asked for, which path takes which."""
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = of_fastapi()
            schemas = document["components"]["schemas"]
            problem = rest_answers.ProblemDocument
            schemas[problem.__name__] = problem.model_json_schema()
            for of_fastapi_alone in ("HTTPValidationError", "ValidationError"):
                schemas.pop(of_fastapi_alone, None)
            if asks_for_keys:
                document["info"]["description"] += _ASKS_FOR_KEYS
                document["components"]["securitySchemes"] = _SCHEMES
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    _complete(operation, path, asks_for_keys)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own documentation has it


def _complete(operation: dict[str, Any], path: str, asks_for_keys: bool) -> None:
    if asks_for_keys:
        operation["security"] = _security(path)
    responses = operation["responses"]
    if not asks_for_keys or path in scopes.OPEN_PATHS:
        for never in (errors.Unauthenticated, errors.PermissionDenied):
            responses.pop(str(never.http.value), None)
    # FastAPI takes each path with a parameter for one that it will have to refuse.
    if "application/json" in responses.get("422", {}).get("content", ()):
        del responses["422"]


def _security(path: str) -> list[dict[str, list[str]]]:
    """Either way of sending a key, and the scope it needs (OpenAPI 3.1 allows roles of any scheme)."""
    if path in scopes.OPEN_PATHS:
        return []
    scope = scopes.of_path(path)
    return [{scheme: [scope.value] if scope else []} for scheme in _SCHEMES]
