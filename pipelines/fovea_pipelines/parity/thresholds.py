"""How far an executor may be off before `fovea skew` fails: built-in limits, and a package's own `[parity]` table.

[parity.default]            # every kind of image
pixel_mean = 1.0
[parity.kinds.huge]         # this kind alone; what it does not say is as above
pixel_p99 = 8.0
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fovea_pipelines.errors import BadPackage
from fovea_pipelines.geometry import count_of_passes
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity.corpus import GENERATED, PHOTOGRAPHS

AT_LEAST = frozenset(("top_1", "top_5"))  # the other limits are at most


@dataclass(frozen=True)
class Limits:
    """Of the images of one kind; `fovea_pipelines.parity.tally.Row` says how each measure is taken.

    pixel_mean, pixel_p99, pixel_max  at most, of 255
    embedding_drift                   at most, as 1 - cosine
    logit_drift                       at most, in logits
    top_1, top_5                      at least, as fractions. None unless said: on scenes of nothing that the model
                                      knows its best classes are near ties, and their order is not the decoder's fault
    refusals                          at most, the fraction of images that one side decodes and the other refuses
    """

    pixel_mean: float = 1.0
    pixel_p99: float = 4.0
    pixel_max: float = 255.0
    embedding_drift: float = 0.05
    logit_drift: float = 1.0
    top_1: float = 0.0
    top_5: float = 0.0
    refusals: float = 0.0


@dataclass(frozen=True)
class Exceeded:
    """One measure beyond its limit."""

    measure: str
    value: float
    limit: float

    def __str__(self) -> str:
        bound = "at least" if self.measure in AT_LEAST else "at most"
        return f"{self.measure} is {self.value:.4g}, {bound} {self.limit:g}"


# 334 photographs, DALI on the CPU: one had another best class, the five best were the same for 98.1%.
_BUILT_IN: dict[str, dict[str, float]] = {PHOTOGRAPHS: {"top_1": 0.995, "top_5": 0.95}}
# At the edge of an image DALI repeats its last pixels, Pillow leaves out the part of the kernel that lies beyond. With
# a kernel that has negative parts the two differ, for as many pixels as it reaches: on an image of 2x3, for all.
_OVERSHOOTING = {"tiny": {"pixel_mean": 3.0, "pixel_p99": 20.0, "logit_drift": 5.0, "embedding_drift": 0.5}}


@dataclass(frozen=True)
class Thresholds:
    """The limits of every kind of image."""

    default: Limits
    kinds: Mapping[str, Limits]

    @classmethod
    def of(cls, package: ModelPackage) -> Thresholds:
        """The package's limits; where it is silent, the built-in ones. Raises BadPackage for what makes no sense."""
        table = package.table.get("parity", {})
        if unknown := sorted(set(table) - {"default", "kinds"}):
            raise BadPackage(f"[parity] has unknown entries: {', '.join(unknown)}; it has `default` and `kinds`")
        said, kinds = table.get("default", {}), table.get("kinds", {})
        built_in = _BUILT_IN | (_OVERSHOOTING if count_of_passes(package.contract) > 1 else {})
        default = _changed(Limits(), said, "parity.default")
        return cls(
            default,
            {
                kind: _changed(
                    default, {**built_in.get(kind, {}), **said, **kinds.get(kind, {})}, f"parity.kinds.{kind}"
                )
                for kind in {*built_in, *kinds}
            },
        )

    def exceeded(self, kind: str, measured: Mapping[str, float], images: int) -> tuple[Exceeded, ...]:
        """Which of the measures, by name, are beyond this kind's limits.

        The whole of the generated images has none unless said: each of their kinds has, and tells more.
        """
        if kind == GENERATED and kind not in self.kinds:
            return ()
        limits = dataclasses.asdict(self.kinds.get(kind, self.default))
        return tuple(
            Exceeded(name, value, limits[name])
            for name, value in measured.items()
            if (_too_few(value, limits[name], images) if name in AT_LEAST else value > limits[name])
        )


def _too_few(agreement: float, limit: float, images: int) -> bool:
    """One image may differ where not all have to agree: a single near tie is no verdict on a few photographs."""
    allowed = max(1.0, images * (1 - limit)) if limit < 1 else 0.0
    return images * (1 - agreement) > allowed + 1e-6


def _changed(limits: Limits, changes: Mapping[str, Any], where: str) -> Limits:
    known = {setting.name for setting in dataclasses.fields(Limits)}
    if unknown := sorted(set(changes) - known):
        raise BadPackage(f"[{where}] has unknown limits: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    for name, value in changes.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise BadPackage(f"[{where}] {name} is {value!r}; it must be a number, 0 or more, and finite")
    return dataclasses.replace(limits, **changes)
