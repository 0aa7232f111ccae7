"""The directions in which the settings of a model on a CPU can be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from fovea_server.triton.tuned import Setting

_BATCHES = (8, 16, 32)  # never under 8, which is what an ensemble takes of one caller
_DELAYS = (0, 500, 2000)  # microseconds


@dataclass(frozen=True)
class Axis:
    """One direction: what a setting becomes along it, itself among them or not."""

    name: str
    along: Callable[[Setting], Iterator[Setting]]

    def candidates(self, setting: Setting) -> list[Setting]:
        """All but the setting itself."""
        return [each for each in dict.fromkeys(self.along(setting)) if each != setting]


def axes(cores: int, precisions: Sequence[str]) -> list[Axis]:
    """The directions, those that usually bring most first. `precisions` are those that the model may be served in."""
    return [
        Axis("precision", lambda at: (replace(at, precision=each) for each in precisions)),
        Axis("threads", lambda at: (replace(at, instances=each[0], threads=each[1]) for each in _ways_to_use(cores))),
        Axis("batch", lambda at: (replace(at, batch=each) for each in _BATCHES)),
        Axis("delay", lambda at: (replace(at, delay=each) for each in _DELAYS)),
    ]


def _ways_to_use(cores: int) -> list[tuple[int, int]]:
    """Instances and threads of each: all cores by one, two or four, one more thread a core, and half of the cores."""
    half, quarter = max(1, cores // 2), max(1, cores // 4)
    ways = [(2, half), (1, cores), (4, quarter), (2, cores), (1, 2 * cores), (1, half)]
    return [
        (instances, threads)
        for instances, threads in dict.fromkeys(ways)
        if instances * threads <= 2 * cores and instances <= max(2, cores)
    ]
