"""What a server answers, the same over REST and gRPC. Frozen, and free of any protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelIdentity:
    """Which model answered; the digest is "sha256:" and 64 hexadecimal digits."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Prediction:
    label: str
    index: int
    score: float  # 0 to 1


@dataclass(frozen=True)
class ImageFacts:
    """The image as stored: width and height before the EXIF orientation (1 to 8) is applied."""

    format: str
    width: int
    height: int
    orientation: int
    bytes: int


@dataclass(frozen=True)
class Quality:
    """Measured on the pixels the model saw."""

    brightness: float
    contrast: float
    sharpness: float


@dataclass(frozen=True)
class Timings:
    """Milliseconds in the server; the first four add up to the total."""

    gateway: float
    queue: float
    preprocess: float
    model: float
    total: float


@dataclass(frozen=True)
class Classification:
    """The labels of one image, best first, and all that was learned on the way."""

    id: str
    model: ModelIdentity
    predictions: tuple[Prediction, ...]
    image: ImageFacts
    quality: Quality
    embedding: tuple[float, ...] | None  # None unless asked for
    timings_ms: Timings


@dataclass(frozen=True)
class Model:
    """A model that can be asked for."""

    identity: ModelIdentity
    description: str
    licence: str
    labels: int
    default: bool
    ready: bool
