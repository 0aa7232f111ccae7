"""Feedback as JSON, alone or a line each, and what is answered to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, Field

from fovea_server.errors import BadParameter, FoveaError, MalformedRequest
from fovea_server.feature_log.feedback import Accepted, Feedback

MOST_BYTES = 4_000_000
MOST_LINES = 10_000
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")

_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_FIELDS = frozenset(("id", "label", "model"))


class FeedbackDocument(BaseModel):
    id: str = Field(description="The answer's id", examples=["3f1b"])
    label: str | int = Field(description="What is true: a label of the model, or its index", examples=["tiger cat"])
    model: str | None = Field(None, description="Whose answer, where several models gave one")


class AcceptedDocument(BaseModel):
    id: str
    status: str = Field(
        description="matched: the process that took it gave that answer lately; pending: the join will tell"
    )


class RefusedLineDocument(BaseModel):
    line: int = Field(description="Counted from 1")
    reason: str
    detail: str


class BulkDocument(BaseModel):
    accepted: int
    matched: int
    pending: int
    refused: list[RefusedLineDocument]


def one(body: bytes) -> Feedback:
    """From one JSON object. Raises MalformedRequest or BadParameter, naming the field."""
    if not body.strip():
        raise MalformedRequest("no feedback was sent")
    return of_document(_loaded(body))


def lines(body: bytes) -> list[Feedback | FoveaError]:
    """From NDJSON, one for each line: what it says, or what is wrong with it.

    Empty lines do not count, but for a body that is mostly empty lines. Raises MalformedRequest or BadParameter.
    """
    _check_lines(_breaks(body), 2 * MOST_LINES)  # before any of them is looked at, which takes time
    found = [line for line in body.splitlines() if line.strip()]
    if not found:
        raise MalformedRequest("no line of feedback was sent")
    _check_lines(len(found), MOST_LINES)
    return [_line(line) for line in found]


def of_document(document: Any) -> Feedback:
    if not isinstance(document, dict):
        raise MalformedRequest('feedback is an object like {"id": "3f1b", "label": "tiger cat"}')
    if unknown := sorted(set(document) - _FIELDS):
        raise MalformedRequest(f"feedback has no field {', '.join(unknown)[:200]!r}; it has id, label and model")
    identity, label, model = document.get("id"), document.get("label"), document.get("model")
    if not isinstance(identity, str) or not _ID.match(identity):
        raise BadParameter("id must be the id of an answer: 1 to 128 of A-Z a-z 0-9 . _ : / + = @ -")
    if isinstance(label, bool) or not isinstance(label, (str, int)) or label == "":
        raise BadParameter("label must be one of the model's labels, or its index")
    if model is not None and not isinstance(model, str):
        raise BadParameter("model must be a model's name")
    return Feedback(identity, label, model or None)


def of_accepted(accepted: Accepted) -> dict[str, Any]:
    return {"id": accepted.id, "status": accepted.status}


def of_lines(outcomes: Sequence[Accepted | FoveaError]) -> dict[str, Any]:
    accepted = [each for each in outcomes if isinstance(each, Accepted)]
    matched = sum(each.matched for each in accepted)
    return {
        "accepted": len(accepted),
        "matched": matched,
        "pending": len(accepted) - matched,
        "refused": [
            {"line": number, "reason": each.reason, "detail": str(each)}
            for number, each in enumerate(outcomes, 1)
            if isinstance(each, FoveaError)
        ],
    }


def _breaks(body: bytes) -> int:
    """Of lines, however they end."""
    return body.count(b"\n") + body.count(b"\r") - body.count(b"\r\n")


def _check_lines(lines: int, most: int) -> None:
    if lines > most:
        raise BadParameter(f"{lines:,} lines of feedback; at most {MOST_LINES:,} at once")


def _line(line: bytes) -> Feedback | FoveaError:
    try:
        return of_document(_loaded(line))
    except FoveaError as error:
        return error


def _loaded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the feedback is not JSON: {error}") from None
