"""Answers that were never given, as `fovea features export` would have written them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.feature_log.made_up import feedback

from fovea_server.feature_log import schema
from fovea_server.feature_log.frames import frame
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.segments import OpenSegment, day_of
from fovea_server.studies.traffic.sources import ExportedFile

BEGIN = datetime(2026, 11, 1, tzinfo=timezone.utc)
_JOINED = pa.schema([*schema.RECORDS, *schema.TRUTH])
_LABELS = ("tench", "goldfish", "tiger cat", "Egyptian cat", "espresso")


def answers(seed: int, count: int, **changed: Any) -> list[dict[str, Any]]:
    """Of as many images, right in nine cases of ten; `changed` are columns that all rows have alike, or functions of a
    generator of random numbers."""
    random = np.random.default_rng(seed)
    return [_answer(random, f"{seed}-{number}", number, changed) for number in range(count)]


def _answer(random: np.random.Generator, name: str, number: int, changed: dict[str, Any]) -> dict[str, Any]:
    score = float(random.beta(6, 2))
    given, other = (str(each) for each in random.choice(_LABELS, 2, replace=False))
    label = given if random.random() < 0.9 else other
    row = {
        "schema_version": 1,
        "id": name,
        "time": BEGIN + timedelta(seconds=number),
        "caller": "",
        "model": "cats",
        "version": "1",
        "variant": "openvino",
        "precision": "int8",
        "outcome": "OK",
        "image_sha256": hashlib.sha256(name.encode()).hexdigest(),
        "image_bytes": int(random.integers(50_000, 150_000)),
        "image_format": "jpeg",
        "image_width": 500,
        "image_height": int(random.choice([333, 375])),
        "image_orientation": int(random.choice([1, 6])),
        "brightness": float(random.normal(0.5, 0.1)),
        "contrast": float(random.normal(0.2, 0.05)),
        "sharpness": float(random.lognormal(6, 1)),
        "top_labels": [given],
        "top_scores": [score],
        "entropy": 2 * (1 - score),
        "embedding": random.normal(size=16).tolist(),
        "total_ms": 9.0,
        "slices": {"device": str(random.choice(["phone", "camera"]))},
        "captured": False,
        "label": label,
        "labels_given": 1,
        "contradicted": False,
    }
    row |= {column: value(random) if callable(value) else value for column, value in changed.items()}
    row["correct"] = None if row["label"] is None or not row["top_labels"] else row["label"] == row["top_labels"][0]
    return row


def exported(path: Path, rows: list[dict[str, Any]]) -> ExportedFile:
    """A file with them, read."""
    table = pa.Table.from_pylist([{**row, "slices": list((row["slices"] or {}).items())} for row in rows], _JOINED)
    pq.write_table(table.cast(schema.stored(table.schema)), path)
    return ExportedFile(path)


def logged(where: Places, rows: list[dict[str, Any]], begin: datetime, told_after: timedelta = timedelta()) -> None:
    """The same in a log, each a second after the one before, with what is true of them as feedback."""
    segment = OpenSegment(where.segments, day_of(begin.timestamp()))
    for number, row in enumerate(rows):
        moment = int(begin.timestamp() * 1e6) + number * 1_000_000
        said = {"time": moment, "slices": list((row["slices"] or {}).items())}
        record = {name: row[name] for name in schema.RECORDS.names if name in row and name != "embedding"}
        segment.append(frame("records", {**record, **said}, np.array(row["embedding"], "<f2").tobytes()))
        if row["label"] is not None:
            received = moment + int(told_after.total_seconds() * 1e6)
            segment.append(frame("feedback", feedback(row["id"], row["label"], received)))
    segment.close()
