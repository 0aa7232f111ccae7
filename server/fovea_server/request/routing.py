"""Which model answers whom: experiments send each unit to one of their arms, the same one every time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fovea_server.domain import Answer, Exposure, Question

UnitKind = Literal["unit", "key", "request"]
_WHOLE = 1 << 64


@dataclass(frozen=True)
class Arm:
    """`target` is what the catalogue calls the model: NAME, or NAME@VERSION; `share` of the units, 0 to 1."""

    name: str
    target: str
    share: float


@dataclass(frozen=True)
class Split:
    """A running experiment as a request meets it. The first arm is the control.

    stage         of a canary, which of its steps
    shadow        the arm that is given copies, None where nobody is
    shadow_share  of the requests that are copied, 0 to 1
    """

    experiment: str
    salt: str
    unit: UnitKind
    arms: tuple[Arm, ...]
    stage: int = 0
    shadow: Arm | None = None
    shadow_share: float = 0.0

    def arm_of(self, unit: str) -> Arm:
        """Candidates from 0 upwards, the control above them: who meets a candidate still does when its share grows."""
        return self.arm_at(digest_of(self.salt, unit))

    def arm_at(self, digest: bytes) -> Arm:
        place, below = _place(digest), 0.0
        for arm in self.arms[1:]:
            below += arm.share
            if place < below:
                return arm
        return self.arms[0]

    def is_copied(self, request: str) -> bool:
        return self.shadow is not None and _place(digest_of(self.salt, request, b"shadow")) < self.shadow_share


@dataclass(frozen=True)
class Plan:
    """All that is in force at one moment.

    splits    by the model that callers ask for
    pointers  from a model to who answers in its place since an experiment ended
    """

    splits: Mapping[str, Split] = field(default_factory=dict)
    pointers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """Whom to ask, and for which experiment; `split` where there is one."""

    models: tuple[str, ...]
    exposure: Exposure | None = None
    split: Split | None = None


class Exposures(Protocol):
    """Who counts what became of those who met an arm."""

    def answered(self, exposure: Exposure, question: Question, answer: Answer) -> None: ...
    def failed(self, exposure: Exposure, question: Question) -> None: ...


class Routing:
    """Holds one frozen plan, which is swapped as a whole. Pure: neither a lock nor a file on a request's way."""

    def __init__(self) -> None:
        self.plan = Plan()

    def route(self, question: Question, default: str, is_served: Callable[[str], bool]) -> Route:
        """Whom the question is for. Who asks for several models, or for one version, is in no experiment.

        An arm whose model is not served (any more) is answered by the model that was asked for.
        """
        plan = self.plan
        if not plan.splits and not plan.pointers:
            return Route(question.models)
        asked = question.models or (default,)
        if len(asked) == 1 and (split := plan.splits.get(asked[0])):
            return _to_an_arm(question, split, is_served) or Route(question.models)
        return Route(tuple(_pointed(plan, name, asked, is_served) for name in asked))


def digest_of(salt: str, unit: str, purpose: bytes = b"arm") -> bytes:
    """Evenly spread and always the same: 8 bytes of BLAKE2b (RFC 7693), keyed by the salt, which has at most 64."""
    return hashlib.blake2b(unit.encode(), digest_size=8, key=salt.encode(), person=purpose).digest()


def unit_of(kind: UnitKind, question: Question) -> str:
    """What the assignment is made for; a caller who sends no unit has none but the request's id."""
    if kind == "unit" and question.unit:
        return question.unit
    if kind in ("unit", "key") and question.caller.name:
        return question.caller.name
    return question.id


def _to_an_arm(question: Question, split: Split, is_served: Callable[[str], bool]) -> Route | None:
    digest = digest_of(split.salt, unit_of(split.unit, question))
    arm = split.arm_at(digest)
    if not is_served(arm.target):
        return None
    return Route((arm.target,), Exposure(split.experiment, arm.name, digest.hex(), split.stage), split)


def _place(digest: bytes) -> float:
    """From 0 to 1."""
    return int.from_bytes(digest, "big") / _WHOLE


def _pointed(plan: Plan, name: str, asked: Sequence[str], is_served: Callable[[str], bool]) -> str:
    """Nobody answers twice in one analysis."""
    target = plan.pointers.get(name, name)
    return target if target not in asked and is_served(target) else name
