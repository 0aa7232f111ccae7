"""From what was noted of a request to the rows of the log, in the writer's thread, off the request's path."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fovea_server.domain import Model
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.frames import Row, frame
from fovea_server.feature_log.note import Note
from fovea_server.feature_log.settings import FeatureLogSettings

SCHEMA_VERSION = 1
_TINY = np.float32(1e-38)  # keeps the logarithm of 0 finite, and changes no other
_BEST = 5  # labels of one answer that are kept at most


@dataclass(frozen=True)
class Written:
    """What one note became: `frames` for the segment, and the image's name and bytes where they are to be kept."""

    frames: list[bytes]
    capture: tuple[str, bytes] | None


class Rows:
    """Which parts of a request are kept, as the settings say."""

    def __init__(self, settings: FeatureLogSettings, pseudonyms: Pseudonyms) -> None:
        self._settings = settings
        self._pseudonyms = pseudonyms

    def hash(self, note: Note) -> None:
        """Name the image by its digest, and let go of its bytes unless they are to be kept. On any thread."""
        note.digest = hashlib.sha256(note.image).hexdigest()
        if not self._is_captured(note):
            note.image = b""
            note.question = replace(note.question, image=b"")

    def of(self, notes: Sequence[Note]) -> list[Written]:
        """What each note becomes. Many at once, because NumPy lets go of Python's lock around each computation, and
        each time the event loop may have to wait for it."""
        entropies = iter(entropy([each.scores for note in notes if note.answer for each in note.inferences]))
        return [self._of(note, [next(entropies) for _ in note.inferences] if note.answer else []) for note in notes]

    def _of(self, note: Note, entropies: Sequence[float | None]) -> Written:
        """One row for each model that answered; one for a request that was refused."""
        if not note.digest:
            self.hash(note)
        captured = self._is_captured(note)
        common = {**self._common(note), "captured": captured}
        capture = (note.digest, note.image) if captured else None
        if note.answer is None:
            asked = _model(note.models[0]) if len(note.models) == 1 else {}
            return Written([frame("records", {**common, **asked})], capture)
        with_embedding = in_sample(note.digest, self._settings.embeddings)
        frames = []
        for index, (model, inference) in enumerate(zip(note.models, note.inferences, strict=True)):
            row = {**common, **_model(model), **_said(note, index), "entropy": entropies[index]}
            frames.append(frame("records", row, _half(inference.embedding) if with_embedding else b""))
        return Written(frames, capture)

    def _common(self, note: Note) -> Row:
        question = note.question
        row: Row = {
            "schema_version": SCHEMA_VERSION,
            "id": question.id,
            "time": int(note.ended * 1e6),
            "caller": self._pseudonyms.of(question.caller.name),
            "outcome": note.outcome,
            "image_sha256": note.digest,
            "image_bytes": note.image_bytes,
            "total_ms": round(note.seconds * 1000, 3),
        }
        if question.slices:
            row["slices"] = dict(question.slices)
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
        if note.facts is None or note.question.caller.name in self._settings.never_captured:
            return False
        return in_sample(note.digest, self._settings.capture)


def in_sample(digest: str, share: float) -> bool:
    """Whether an image belongs to the sample: always the same images, and those of a larger share include them."""
    return share > 0 and int(digest[:8], 16) < share * 0x1_0000_0000


def entropy(scores: Sequence[NDArray[np.float32] | None]) -> list[float | None]:
    """Of each distribution of shape (classes,), in nats: -sum(p log p), 0 log 0 being 0 (Shannon 1948).

    None where there is no distribution.
    """
    found: list[float | None] = [None] * len(scores)
    by_size: dict[int, dict[int, NDArray[np.float32]]] = defaultdict(dict)
    for place, each in enumerate(scores):
        if each is not None:
            by_size[len(each)][place] = each
    for same in by_size.values():
        stacked = np.stack(list(same.values()))
        sums = -np.einsum("ij,ij->i", stacked, np.log(stacked + _TINY))
        for place, value in zip(same, sums.tolist(), strict=True):
            found[place] = value
    return found


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
