"""The REST routes of the feature log: what turned out to be true goes in, features of an image come out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request, Response

from fovea_server.domain import Caller
from fovea_server.edge import feedback_documents as documents
from fovea_server.edge import openapi, options, uploads
from fovea_server.edge.direct_paths import DirectPaths
from fovea_server.edge.openapi import Tag
from fovea_server.errors import (
    BadParameter,
    DeadlineExceeded,
    FeatureLogOff,
    FeatureLogUnavailable,
    FoveaError,
    NoSuchImage,
    TooManyBytes,
    UnknownLabel,
    UnknownModel,
)
from fovea_server.feature_log import moments
from fovea_server.feature_log.log import FeatureLog, there

_DIGEST = re.compile(r"[0-9a-fA-F]{64}\Z")
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": documents.FeedbackDocument.model_json_schema()},
        documents.NDJSON[0]: {"schema": {"type": "string", "description": "A JSON object each line"}},
    },
}


def add(paths: DirectPaths, log: FeatureLog | None, caller: Callable[[], Caller]) -> None:
    """POST /v1/feedback and GET /v1/features/{sha256}; without a log both say that there is none.

    `caller` says who asks.
    """

    async def feedback(request: Request) -> Response:
        options.check_known(request.query_params.multi_items(), frozenset())
        kept = there(log)
        deadline = options.deadline(request.headers.get("X-Request-Timeout"), time.monotonic())
        body = await uploads.read_body(request, documents.MOST_BYTES, deadline)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        who = caller()
        if kind in documents.NDJSON:
            return _json(documents.of_lines(await kept.feedback.accept_fit(documents.lines(body), who)), HTTPStatus.OK)
        (outcome,) = await kept.feedback.accept([documents.one(body)], who)
        if isinstance(outcome, FoveaError):
            raise outcome
        return _json(documents.of_accepted(outcome), HTTPStatus.ACCEPTED)

    paths.post(
        "/v1/feedback",
        feedback,
        tags=[Tag.TRUTH],
        summary="What turned out to be true of an answer",
        responses={
            202: {"model": documents.AcceptedDocument},
            200: {"model": documents.BulkDocument, "description": "To lines: what became of each"},
            **openapi.failures(
                *(UnknownModel, TooManyBytes, BadParameter, UnknownLabel, DeadlineExceeded),
                *(FeatureLogOff, FeatureLogUnavailable),
            ),
        },
        openapi_extra={"requestBody": _BODY},
    )

    @paths.app.get(
        "/v1/features/{sha256}",
        tags=[Tag.TRUTH],
        summary="What is on record of an image, by the SHA-256 of its bytes",
        responses=openapi.failures(NoSuchImage, FeatureLogOff, BadParameter, FeatureLogUnavailable),
    )
    async def features(request: Request, sha256: str, as_of: str | None = None) -> Response:
        options.check_known(request.query_params.multi_items(), {"as_of"})
        kept = there(log)
        if not _DIGEST.match(sha256):
            raise BadParameter(f"{sha256[:80]!r} is no SHA-256: 64 hexadecimal digits")
        records = await kept.lookup.features(sha256.lower(), _moment(as_of))
        return _json({"sha256": sha256.lower(), "records": records}, HTTPStatus.OK)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moments.read(text)
    except ValueError as error:
        raise BadParameter(f"as_of: {error}") from None


def _json(body: dict[str, Any], status: HTTPStatus) -> Response:
    return Response(orjson.dumps(body), status.value, media_type="application/json")
