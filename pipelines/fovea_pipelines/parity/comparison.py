"""Compare executors with the reference image by image, in pixels and in what the model says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import reference
from fovea_pipelines.contract import Contract
from fovea_pipelines.openvino_engine import Outputs
from fovea_pipelines.parity import measures
from fovea_pipelines.parity.corpus import Specimen
from fovea_pipelines.parity.executors import Executor, Pixels
from fovea_pipelines.parity.measures import PixelDifference


class Engine(Protocol):
    """The model, from pixels to scores."""

    def run(self, images: Sequence[Pixels], /) -> list[Outputs]: ...


@dataclass(frozen=True)
class Expected:
    """One image through the reference: its pixels, or why there are none, and what the model makes of them."""

    specimen: Specimen
    pixels: Pixels | Exception
    outputs: Outputs | None


@dataclass(frozen=True)
class Best:
    """The class a model finds best, and its score."""

    index: int
    score: float


@dataclass(frozen=True)
class ScoresCompared:
    """What a classifier makes of the reference's pixels and of the executor's."""

    logit_drift: float
    top_1: tuple[Best, Best]
    top_5: float

    @property
    def top_1_agrees(self) -> bool:
        return self.top_1[0].index == self.top_1[1].index


@dataclass(frozen=True)
class Compared:
    """One image through the reference and through one executor; `scores` is None for a network that only embeds."""

    executor: str
    specimen: Specimen
    reference: Pixels
    served: Pixels
    pixels: PixelDifference
    embedding_drift: float
    scores: ScoresCompared | None

    @property
    def flipped(self) -> bool:
        """Whether the model finds another class best."""
        return self.scores is not None and not self.scores.top_1_agrees

    @property
    def surety(self) -> float:
        """The score of the class that is best for the reference's pixels; 0 where there are no classes."""
        return self.scores.top_1[0].score if self.scores else 0.0


@dataclass(frozen=True)
class Refused:
    """One image that the reference, the executor, or both refused, and why: `None` for a side that decoded it."""

    executor: str
    specimen: Specimen
    by_reference: str | None
    by_executor: str | None

    @property
    def by_both(self) -> bool:
        return self.by_reference is not None and self.by_executor is not None


Outcome = Compared | Refused


def compare(
    specimens: Sequence[Specimen], executors: Mapping[str, Executor], contract: Contract, engine: Engine
) -> list[Outcome]:
    """Every specimen on every executor."""
    return against(expect(specimens, contract, engine), executors, engine)


def expect(specimens: Sequence[Specimen], contract: Contract, engine: Engine) -> list[Expected]:
    """What every executor is to make of the specimens."""
    pixels = [_reference(specimen, contract) for specimen in specimens]
    return [Expected(*each) for each in zip(specimens, pixels, _outputs(pixels, engine), strict=True)]


def against(expected: Sequence[Expected], executors: Mapping[str, Executor], engine: Engine) -> list[Outcome]:
    """What each executor makes of the same images."""
    outcomes: list[Outcome] = []
    for name, executor in executors.items():
        found = executor([each.specimen.content for each in expected])
        every = zip(expected, found, _outputs(found, engine), strict=True)
        outcomes += [_outcome(name, wanted, pixels, outputs) for wanted, pixels, outputs in every]
    return outcomes


def _reference(specimen: Specimen, contract: Contract) -> Pixels | Exception:
    try:
        return reference.pixels(specimen.content, contract)
    except reference.Unreadable as error:
        return error


def _outputs(images: Sequence[Pixels | Exception], engine: Engine) -> list[Outputs | None]:
    """What the model makes of each image, None where there is none."""
    outputs = iter(engine.run([image for image in images if not isinstance(image, Exception)]))
    return [None if isinstance(image, Exception) else next(outputs) for image in images]


def _outcome(executor: str, expected: Expected, found: Pixels | Exception, outputs: Outputs | None) -> Outcome:
    if isinstance(expected.pixels, Exception) or isinstance(found, Exception):
        return Refused(executor, expected.specimen, _reason(expected.pixels), _reason(found))
    assert expected.outputs is not None
    assert outputs is not None
    return Compared(
        executor=executor,
        specimen=expected.specimen,
        reference=expected.pixels,
        served=found,
        pixels=measures.pixel_difference(expected.pixels, found),
        embedding_drift=measures.embedding_drift(expected.outputs.embedding, outputs.embedding),
        scores=_scores(expected.outputs.scores, outputs.scores),
    )


def _scores(expected: NDArray[np.float32] | None, found: NDArray[np.float32] | None) -> ScoresCompared | None:
    if expected is None or found is None:
        return None
    return ScoresCompared(
        logit_drift=measures.logit_drift(expected, found),
        top_1=(_best(expected), _best(found)),
        top_5=measures.top_5_agreement(expected, found),
    )


def _reason(image: Pixels | Exception) -> str | None:
    return str(image) if isinstance(image, Exception) else None


def _best(scores: NDArray[np.float32]) -> Best:
    index = int(scores.argmax())
    return Best(index, float(scores[index]))
