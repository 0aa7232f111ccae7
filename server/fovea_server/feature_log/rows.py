"""From what was noted of a request to the rows of the log."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fovea_server.domain import Model
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.frames import Row, frame
from fovea_server.feature_log.note import Note
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics

_log = get_logger("feature_log")

SCHEMA_VERSION = 1
_TINY = np.float32(1e-38)  # keeps the logarithm of 0 finite, and changes no other
_SAY_AGAIN = 60.0  # seconds between two log lines about records that cannot be encoded
_BEST = 5  # labels of one answer that are kept at most


class Record(NamedTuple):
    """What a note becomes: `frames` for the segment, and the image where it is to be kept under its `digest`."""

    ended: float  # seconds since 1970
    frames: tuple[bytes, ...]
    digest: str
    image: bytes


class Rows:
    """Which parts of a request are kept, as the settings say."""

    def __init__(self, settings: FeatureLogSettings, pseudonyms: Pseudonyms, metrics: Metrics) -> None:
        self._settings = settings
        self._pseudonyms = pseudonyms
        self._metrics = metrics
        self._silent_until = 0.0

    def try_of(self, note: Note) -> Record | None:
        """None where it cannot be encoded, which is counted and logged. On any thread."""
        try:
            return self.of(note)
        except Exception as error:
            self._metrics.feature_log_dropped("not_encoded")
            if time.monotonic() >= self._silent_until:
                self._silent_until = time.monotonic() + _SAY_AGAIN
                _log.warning("a record cannot be encoded", id=note.id, reason=f"{type(error).__name__}: {error}")
            return None

    def of(self, note: Note) -> Record:
        """One row for each model that answered; one for a request that was refused. Its image has been hashed."""
        assert note.digest
        captured = self._is_captured(note)
        common = self._common(note, captured)
        image = note.image if captured else b""
        if note.answer is None:
            asked = _model(note.models[0]) if len(note.models) == 1 else {}
            return Record(note.ended, (frame("records", {**common, **asked}),), note.digest, image)
        with_embedding = in_sample(note.digest, self._settings.embeddings)
        frames = []
        for index, (model, inference) in enumerate(zip(note.models, note.inferences, strict=True)):
            row = {**common, **_model(model), **_said(note, index)}
            if inference.scores is not None:
                row["entropy"] = entropy(inference.scores)
            frames.append(frame("records", row, _half(inference.embedding) if with_embedding else b""))
        return Record(note.ended, tuple(frames), note.digest, image)

    def _common(self, note: Note, captured: bool) -> Row:
        row: Row = {
            "schema_version": SCHEMA_VERSION,
            "id": note.id,
            "time": int(note.ended * 1e6),
            "caller": self._pseudonyms.of(note.caller),
            "outcome": note.outcome,
            "image_sha256": note.digest,
            "image_bytes": note.image_bytes,
            "captured": captured,
            "total_ms": round(note.seconds * 1000, 3),
        }
        if note.slices:
            row["slices"] = note.slices
        if note.exposure is not None:
            exposure = note.exposure
            row.update(experiment=exposure.experiment, arm=exposure.arm, unit=exposure.unit)
        if (facts := note.facts) is not None:
            row.update(
                image_format=facts.format,
                image_width=facts.width,
                image_height=facts.height,
                image_orientation=facts.orientation,
            )
        return row

    def _is_captured(self, note: Note) -> bool:
        """Of what its header shows to be an image; the rest is nothing to train on."""
        if note.facts is None or note.caller in self._settings.never_captured:
            return False
        return in_sample(note.digest, self._settings.capture)


def in_sample(digest: str, share: float) -> bool:
    """Whether an image belongs to the sample: always the same images, and those of a larger share include them."""
    return share > 0 and int(digest[:8], 16) < share * 0x1_0000_0000


def entropy(scores: NDArray[np.float32]) -> float:
    """Of a distribution of shape (classes,), in nats: -sum(p log p), 0 log 0 being 0 (Shannon 1948)."""
    logarithms = scores + _TINY
    np.log(logarithms, out=logarithms)
    return -float(scores.dot(logarithms))


def _model(model: Model) -> Row:
    variant, _, precision = model.engine.partition(" ")
    identity = model.identity
    return {
        "model": identity.name,
        "version": identity.version,
        "digest": identity.digest,
        "variant": variant or None,
        "precision": precision or None,
    }


def _said(note: Note, index: int) -> Row:
    """What one model said, and where the time went."""
    assert note.answer is not None
    result, timings = note.answer.results[index], note.answer.timings_ms
    best = result.predictions[:_BEST]
    return {
        "brightness": result.quality.brightness,
        "contrast": result.quality.contrast,
        "sharpness": result.quality.sharpness,
        "top_labels": [each.label for each in best],
        "top_indices": [each.index for each in best],
        "top_scores": [each.score for each in best],
        "gateway_ms": timings.gateway,
        "queue_ms": timings.queue,
        "preprocess_ms": result.timings_ms.preprocess,
        "model_ms": result.timings_ms.model,
    }


def _half(embedding: NDArray[np.float32]) -> bytes:
    """As float16, little-endian; what is beyond its range becomes infinite."""
    with np.errstate(over="ignore"):
        return embedding.astype("<f2").tobytes()
