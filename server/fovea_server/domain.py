"""The nouns: what flows from a request to its answer. Frozen, and free of any protocol."""

from __future__ import annotations

import enum
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


class Priority(enum.IntEnum):
    """Who waits for the answer; under overload the higher number is turned away first."""

    INTERACTIVE = 0
    BATCH = 1


@dataclass(frozen=True)
class Caller:
    """Who asks: the public part of an API key, "" for nobody in particular.

    Quotas are per second; None is without one.
    """

    name: str = ""
    scopes: frozenset[str] = frozenset()
    requests_per_second: float | None = None
    megapixels_per_second: float | None = None


ANYONE = Caller()


@dataclass(frozen=True)
class Question:
    """One image and what the caller wants to know of it.

    models     whom to ask, by name; nobody named is the default model
    top_k      how many labels, best first
    embedding  whether to answer with the embedding too
    unit       whom experiments are to treat alike, "" where the caller does not say
    """

    id: str
    image: bytes
    models: tuple[str, ...]
    top_k: int
    embedding: bool
    deadline: Deadline
    received: float  # monotonic seconds
    caller: Caller = ANYONE
    slices: tuple[tuple[str, str], ...] = ()  # what the caller says of the image: names and values
    priority: Priority = Priority.INTERACTIVE
    unit: str = ""


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
    """A model that can be asked for, and where in Triton it answers; without labels it only embeds.

    `preprocess`, `network` and `ensemble` are Triton's names; each version of a model has a network of its own. Where
    it is `in_one`, `ensemble` has processes of its own, which do all that is to be done for this model alone.
    """

    identity: ModelIdentity
    preprocess: str
    network: str
    ensemble: str
    labels: tuple[str, ...]
    features: int
    description: str
    licence: str
    engine: str = ""  # what runs its network
    degrade_to: str = ""  # who may answer instead in an overload, where nobody is asked by name
    in_one: bool = False


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
    """What one model in Triton answered for one image.

    scores FP32 (classes,) summing to 1, None where it only embeds; embedding FP32 (features,); quality FP32 (3,):
    brightness, contrast, sharpness. The spans are None where the backend cannot tell.
    """

    scores: NDArray[np.float32] | None
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
class StageTimings:
    """Milliseconds that one model's stages took."""

    preprocess: float
    model: float


@dataclass(frozen=True)
class Timings:
    """Milliseconds; the first four add up to the total."""

    gateway: float
    queue: float
    preprocess: float
    model: float
    total: float


@dataclass(frozen=True)
class Result:
    """What one model says of the image. No predictions where it only embeds, no embedding where none was wanted."""

    model: ModelIdentity
    predictions: tuple[Prediction, ...]
    quality: Quality
    embedding: NDArray[Any] | None
    timings_ms: StageTimings


@dataclass(frozen=True)
class Exposure:
    """Which arm of which experiment answered, and whom it was assigned to: a hash of what the caller said of itself.

    stage  of a canary, which of its steps
    """

    experiment: str
    arm: str
    unit: str
    stage: int = 0


@dataclass(frozen=True)
class Answer:
    """What the caller gets: a result for each model asked, in the order of asking, and where the time went.

    degraded  whether a cheaper model than the default answered, because of an overload
    exposure  the experiment that decided who answers, where there was one
    """

    id: str
    image: ImageFacts
    results: tuple[Result, ...]
    timings_ms: Timings
    degraded: bool = False
    exposure: Exposure | None = None
