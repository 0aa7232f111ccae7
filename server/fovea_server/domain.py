"""The nouns: what flows from a request to its answer. Frozen, and free of any protocol."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, in seconds, after which nobody waits for the answer."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - time.monotonic()


@dataclass(frozen=True)
class Question:
    """One image and what the caller wants to know of it."""

    id: str
    image: bytes
    model: str | None
    top_k: int
    embedding: bool
    deadline: Deadline
    received: float  # monotonic seconds


@dataclass(frozen=True)
class ImageFacts:
    """What an image's header says. Width and height are as stored, before the EXIF orientation (1 to 8) is applied."""

    format: str
    width: int
    height: int
    orientation: int
    bytes: int


@dataclass(frozen=True)
class ModelIdentity:
    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Model:
    """A model that can be asked for, and where in Triton it answers."""

    identity: ModelIdentity
    ensemble: str
    labels: tuple[str, ...]
    description: str
    licence: str


@dataclass(frozen=True)
class Span:
    """When a stage began and ended, in monotonic seconds."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Inference:
    """What Triton answered for one image.

    scores FP32 (classes,) summing to 1; embedding FP32 (features,); quality FP32 (3,): brightness, contrast,
    sharpness. The spans are None where the backend cannot tell.
    """

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    quality: NDArray[np.float32]
    preprocess: Span | None
    model: Span | None


@dataclass(frozen=True)
class Prediction:
    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Quality:
    brightness: float
    contrast: float
    sharpness: float


@dataclass(frozen=True)
class Timings:
    """Milliseconds; the first four add up to the total."""

    gateway: float
    queue: float
    preprocess: float
    model: float
    total: float


@dataclass(frozen=True)
class Answer:
    """What the caller gets."""

    id: str
    model: ModelIdentity
    predictions: tuple[Prediction, ...]
    image: ImageFacts
    quality: Quality
    embedding: NDArray[Any] | None
    timings_ms: Timings
