"""One way to run the two models of an ensemble on a CPU, and the directions in which it can be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fovea_server.triton.tuned import Stage

_BATCHES = (8, 16, 32)  # never under 8, which is what an ensemble takes of one caller
_DELAYS = (0, 500, 2000)  # microseconds


@dataclass(frozen=True)
class Setting:
    preprocess: Stage
    network: Stage

    def __str__(self) -> str:
        return f"preprocess {_words(self.preprocess)}, network {_words(self.network)}"

    def stages(self, names: tuple[str, str]) -> dict[str, Stage]:
        """By the names of Triton's models, preprocessing first."""
        return dict(zip(names, (self.preprocess, self.network), strict=True))

    def to_mapping(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> Setting:
        return cls(Stage(**table["preprocess"]), Stage(**table["network"]))

    def changes(self, other: Setting) -> str:
        """In words, what the other has that this one has not."""
        told = [
            f"{name} {field} {value}"
            for name in ("preprocess", "network")
            for field, value in asdict(getattr(other, name)).items()
            if value != getattr(getattr(self, name), field)
        ]
        return ", ".join(told) or "nothing"


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
        Axis("precision", lambda at: (_network(at, precision=each) for each in precisions)),
        Axis("threads of the network", lambda at: (_network(at, **each) for each in _ways_to_use(cores))),
        Axis("threads of preprocessing", lambda at: (_preprocess(at, **each) for each in _ways_to_use(cores))),
        Axis("batch", lambda at: (_network(_preprocess(at, batch=each), batch=each) for each in _BATCHES)),
        Axis("delay of preprocessing", lambda at: (_preprocess(at, delay=each) for each in _DELAYS)),
        Axis("delay of the network", lambda at: (_network(at, delay=each) for each in _DELAYS)),
    ]


def _ways_to_use(cores: int) -> list[dict[str, int]]:
    """Instances and threads of each: all cores, half of them, twice as many threads, several instances that share."""
    half, quarter = max(1, cores // 2), max(1, cores // 4)
    pairs = [(1, cores), (1, half), (2, half), (4, quarter), (1, 2 * cores)]
    return [
        {"instances": instances, "threads": threads}
        for instances, threads in dict.fromkeys(pairs)
        if instances * threads <= 2 * cores and instances <= max(2, cores)
    ]


def _network(setting: Setting, **fields: Any) -> Setting:
    return replace(setting, network=replace(setting.network, **fields))


def _preprocess(setting: Setting, **fields: Any) -> Setting:
    return replace(setting, preprocess=replace(setting.preprocess, **fields))


def _words(stage: Stage) -> str:
    precision = f" {stage.precision}" if stage.precision else ""
    return f"{stage.instances}x{stage.threads}{precision} batch {stage.batch} delay {stage.delay}"
