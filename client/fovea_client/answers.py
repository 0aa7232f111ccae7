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
class StageTimings:
    """Milliseconds that one model's stages took; models of one analysis may run side by side."""

    preprocess: float
    model: float


@dataclass(frozen=True)
class Exposure:
    """The experiment that decided who answers, and which of its arms did."""

    name: str
    arm: str


@dataclass(frozen=True)
class Classification:
    """The labels of one image, and all that was learned on the way."""

    id: str
    model: ModelIdentity
    predictions: tuple[Prediction, ...]  # best first; none from a model that only embeds
    image: ImageFacts
    quality: Quality
    embedding: tuple[float, ...] | None  # None unless asked for, or the model only embeds
    timings_ms: Timings
    experiment: Exposure | None = None  # None where the caller met none


@dataclass(frozen=True)
class Result:
    """What one model says of an image; predictions and embedding as in a Classification."""

    model: ModelIdentity
    predictions: tuple[Prediction, ...]
    quality: Quality
    embedding: tuple[float, ...] | None
    timings_ms: StageTimings


@dataclass(frozen=True)
class Analysis:
    """What several models say of one image: a result of each, in the order of asking."""

    id: str
    image: ImageFacts
    results: tuple[Result, ...]
    timings_ms: Timings
    experiment: Exposure | None = None  # None where the caller met none

    def result_of(self, model: str) -> Result:
        """The result of the model of this name. Raises KeyError where it was not asked."""
        for result in self.results:
            if result.model.name == model:
                return result
        raise KeyError(f"{model!r} was not asked, but {', '.join(result.model.name for result in self.results)}")


@dataclass(frozen=True)
class Model:
    """A model that can be asked for."""

    identity: ModelIdentity
    description: str
    licence: str
    labels: int  # how many it tells apart; 0 for a model that only embeds
    features: int  # how many numbers its embedding has
    engine: str  # what runs its network: openvino and the precision, onnxruntime-cuda or tensorrt
    default: bool
    ready: bool
