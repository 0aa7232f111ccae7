"""What experiments ask of whoever knows the truth about answers: the feature log, where there is one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Labelled:
    """An answer of which the truth is known. `slices` as NAME=VALUE; `at` in Unix seconds."""

    at: float
    arm: str
    unit: str
    correct: bool
    slices: tuple[str, ...] = ()


class Truth(Protocol):
    @property
    def is_reported(self) -> bool:
        """Whether anybody keeps answers and takes feedback."""
        ...

    def labelled(self, experiment: str, since: float) -> Sequence[Labelled]:
        """Every answer of the experiment that has a label by now."""
        ...

    def labels(self, ids: Collection[str]) -> Mapping[str, str]:
        """The true labels of these answers, as far as they are known."""
        ...

    def image(self, sha256: str) -> bytes | None:
        """The image, where it was captured."""
        ...


class NothingKnown:
    """Where no feature log is kept."""

    is_reported = False

    def labelled(self, experiment: str, since: float) -> Sequence[Labelled]:
        return ()

    def labels(self, ids: Collection[str]) -> Mapping[str, str]:
        return {}

    def image(self, sha256: str) -> bytes | None:
        return None
