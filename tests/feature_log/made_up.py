"""Requests that were never made, and the log of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea_server.domain import (
    ANYONE,
    Answer,
    Caller,
    Deadline,
    ImageFacts,
    Inference,
    Model,
    ModelIdentity,
    Quality,
    Question,
    Result,
    StageTimings,
    Timings,
)
from fovea_server.feature_log.frames import Row, frame
from fovea_server.feature_log.note import Note
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.segments import OpenSegment, day_of
from fovea_server.request import answers

LABELS = ("tench", "goldfish", "tiger cat", "Egyptian cat", "espresso")
NOON = 1_700_049_600_000_000  # 2023-11-15 12:00 UTC, in microseconds since 1970


def model(name: str = "cats", labels: tuple[str, ...] = LABELS, engine: str = "openvino int8") -> Model:
    identity = ModelIdentity(name, "1", "sha256:" + "0" * 64)
    return Model(identity, "p", name, f"e_{name}", labels, features=8, description="", licence="", engine=engine)


def question(identity: str = "a1", image: bytes = b"picture", caller: Caller = ANYONE, **more: Any) -> Question:
    return Question(identity, image, (), 5, False, Deadline.after(10), time.monotonic(), caller, **more)


def tell(note: Note, models: Sequence[Model], best: int = 3) -> None:
    """The story of a request that was answered: every model finds the label `best` the best."""
    note.models = models
    note.facts = ImageFacts("jpeg", 640, 480, 6, note.image_bytes)
    note.inferences = [_inference(each, best) for each in models]
    results = tuple(
        Result(
            each.identity,
            () if inference.scores is None else answers.best(inference.scores, each.labels, 5),
            Quality(0.5, 0.2, 80.0),
            None,
            StageTimings(1.0, 2.0),
        )
        for each, inference in zip(models, note.inferences, strict=True)
    )
    note.answer = Answer(note.id, note.facts, results, Timings(0.5, 1.5, 1.0, 2.0, 5.0))


def _inference(asked: Model, best: int) -> Inference:
    scores = np.full(len(asked.labels), 0.1, np.float32)
    scores[best : best + 1] = 0.6
    embedding = np.linspace(-1, 1, asked.features, dtype=np.float32)
    quality = np.array([0.5, 0.2, 80], np.float32)
    return Inference(scores if asked.labels else None, embedding, quality, None, None)


def record(identity: str, moment: int = NOON, **more: Any) -> Row:
    """A row as the writer writes it; `moment` in microseconds since 1970."""
    return {
        "schema_version": 1,
        "id": identity,
        "time": moment,
        "caller": "",
        "model": "cats",
        "outcome": "OK",
        "image_sha256": "ab" * 32,
        "image_bytes": 7,
        "top_labels": ["tench", "goldfish"],
        "total_ms": 5.0,
        "captured": False,
        **more,
    }


def feedback(identity: str, label: str, moment: int = NOON, **more: Any) -> Row:
    return {"schema_version": 1, "id": identity, "received": moment, "caller": "", "label": label, **more}


def places(folder: Path) -> Places:
    return Places.of(str(folder / "log"), folder / "state")


def write(where: Places, records: Sequence[Row] = (), given: Sequence[Row] = (), embedding: bytes = b"") -> Path:
    """A closed segment of a day with these rows."""
    moment = next(row.get("time", row.get("received")) for row in [*records, *given])
    segment = OpenSegment(where.segments, day_of(moment / 1e6))
    for row in records:
        segment.append(frame("records", row, embedding))
    for row in given:
        segment.append(frame("feedback", row))
    segment.close()
    return segment.path
