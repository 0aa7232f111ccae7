"""Answers from their JSON, as nouns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

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
from fovea_client.errors import from_reason
from fovea_client.feedback import FeedbackReport, Status
from fovea_client.rest_wire import not_ours

T = TypeVar("T")


def classification(said: dict[str, Any], url: str) -> Classification:
    with _taken_for_ours(said, url):
        return Classification(
            id=said["id"],
            image=_known(ImageFacts, said["image"]),
            timings_ms=_known(Timings, said["timings_ms"]),
            experiment=_exposure(said),
            **_of_one_model(said),
        )


def analysis(said: dict[str, Any], url: str) -> Analysis:
    with _taken_for_ours(said, url):
        return Analysis(
            id=said["id"],
            image=_known(ImageFacts, said["image"]),
            results=tuple(_result(one) for one in said["results"]),
            timings_ms=_known(Timings, said["timings_ms"]),
            experiment=_exposure(said),
        )


def models(said: dict[str, Any], url: str) -> tuple[Model, ...]:
    with _taken_for_ours(said, url):
        return tuple(_known(Model, {**one, "identity": _known(ModelIdentity, one)}) for one in said["models"])


def feedback(said: dict[str, Any], url: str) -> Status:
    with _taken_for_ours(said, url):
        return "matched" if said["status"] == "matched" else "pending"


def feedback_report(said: dict[str, Any], url: str) -> FeedbackReport:
    with _taken_for_ours(said, url):
        refused = {one["line"] - 1: from_reason(one["reason"], one["detail"]) for one in said["refused"]}
        return FeedbackReport(said["matched"], said["pending"], refused)


@contextmanager
def _taken_for_ours(said: dict[str, Any], url: str) -> Iterator[None]:
    """What lacks a field, or has something else in it, was not said by a Fovea server."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise not_ours(url, f"{error!r} in its answer", said.get("id")) from error


def _result(said: dict[str, Any]) -> Result:
    return Result(timings_ms=_known(StageTimings, said["timings_ms"]), **_of_one_model(said))


def _of_one_model(said: dict[str, Any]) -> dict[str, Any]:
    """What a classification and a result of an analysis have in common."""
    embedding = said.get("embedding")
    return {
        "model": _known(ModelIdentity, said["model"]),
        "predictions": tuple(_known(Prediction, one) for one in said["predictions"]),
        "quality": _known(Quality, said["quality"]),
        "embedding": None if embedding is None else tuple(embedding),
    }


def _exposure(said: dict[str, Any]) -> Exposure | None:
    return _known(Exposure, said["experiment"]) if said.get("experiment") else None


def _known(noun: type[T], said: dict[str, Any]) -> T:
    """The noun from its JSON. Fields this client does not know are left aside: the server may be newer."""
    return noun(**{known.name: said[known.name] for known in fields(noun)})  # type: ignore[arg-type]
