"""Which model answers whom: experiments send each unit to one of their arms, the same one every time."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, Protocol

from fovea_server.domain import Exposure, Model, Question
from fovea_server.errors import BadParameter, FoveaError
from fovea_server.feature_log.note import Note
from fovea_server.request.catalogue import Catalogue, versioned

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

    def arm_at(self, digest: bytes) -> Arm:
        """Of a unit, by its digest. Candidates from 0 upwards, the control above them: who meets a candidate still does
        when its share grows."""
        place, below = _place(digest), 0.0
        for arm in self.arms[1:]:
            below += arm.share
            if place < below:
                return arm
        return self.arms[0]

    def copied_to(self, request: str, exposure: Exposure) -> Arm | None:
        """The candidate that is to be given a copy of this request, which the control has answered."""
        if self.shadow is None or exposure.arm != self.arms[0].name:
            return None
        return self.shadow if _place(digest_of(self.salt, request, b"shadow")) < self.shadow_share else None


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
    """Whom to ask, by the names the catalogue knows, none for the default; for which experiment; and whether it is a
    cheaper model than the default, because of an overload."""

    models: Sequence[str]
    exposure: Exposure | None = None
    degraded: bool = False


class Exposures(Protocol):
    """Who counts what became of those who met an arm."""

    def answered(self, note: Note) -> None: ...
    def failed(self, note: Note) -> None: ...


class Routing:
    """Holds one frozen plan, which is swapped as a whole. Pure: neither a lock nor a file on a request's way."""

    def __init__(self, catalogue: Catalogue, exposures: Exposures | None = None) -> None:
        self.plan = Plan()
        self._catalogue = catalogue
        self._exposures = exposures

    def route(self, question: Question, overloaded: bool = False) -> Route:
        """Who asks for several models, or for one version, is answered by those and is in no experiment; nor is who is
        answered by a cheaper model in an overload. Where an arm is not served (any more), who was asked answers.
        """
        plan = self.plan
        if overloaded and not question.models and self._catalogue.cheaper is not self._catalogue.default:
            return Route((), degraded=True)
        if not plan.splits and not plan.pointers:
            return Route(question.models)
        if len(question.models) > 1:
            return Route(question.models)
        asked = question.models[0] if question.models else self._catalogue.default.identity.name
        if split := plan.splits.get(asked):
            digest = digest_of(split.salt, unit_of(split.unit, question))
            arm = split.arm_at(digest)
            if self._catalogue.serves(arm.target):
                return Route((arm.target,), Exposure(split.experiment, arm.name, digest.hex(), split.stage))
            return Route(question.models)
        target = plan.pointers.get(asked, asked)
        return Route((target,) if self._catalogue.serves(target) else question.models)

    def needs(self, target: str) -> str | None:
        """Why a model, NAME or NAME@VERSION, cannot go; None where no caller would miss it."""
        for asked, split in self.plan.splits.items():
            if target == asked or any(_same(arm.target, target) for arm in split.arms):
                name = split.experiment
                return f"the experiment {name}, which is running, asks it; fovea ab stop {name} --why TEXT"
        for asked, promoted in self.plan.pointers.items():
            if asked != promoted and _same(promoted, target):
                return f"it answers for {asked} since an experiment ended; fovea ab rollback lets {asked} answer again"
        return None

    @contextlib.contextmanager
    def follow(self, route: Route, note: Note) -> Iterator[list[Model]]:
        """The models of the route, in use until the context ends; what became of an exposure by then is counted.

        Raises UnknownModel, and BadParameter where two of the names are one model's.
        """
        note.exposure = route.exposure
        with self._catalogue.borrow(route.models, route.degraded) as models:
            _check_apart(route.models, models)
            try:
                yield models
            except Exception as error:
                # What is wrong with the image is no arm's fault.
                if not isinstance(error, FoveaError) or error.http >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    self._count(note, failed=True)
                raise
            self._count(note, failed=False)

    def _count(self, note: Note, failed: bool) -> None:
        if note.exposure and self._exposures:
            (self._exposures.failed if failed else self._exposures.answered)(note)

    def split_of(self, exposure: Exposure) -> Split | None:
        """The experiment of an exposure, if it still runs."""
        return next((each for each in self.plan.splits.values() if each.experiment == exposure.experiment), None)


def _check_apart(names: Sequence[str], models: Sequence[Model]) -> None:
    """NAME and NAME@VERSION may be one model, which would be asked twice."""
    if len(names) < 2:
        return
    named: dict[str, str] = {}
    for name, model in zip(names, models, strict=True):
        version = versioned(model.identity)
        if version in named:
            raise BadParameter(f"models names {version} more than once: as {named[version]} and as {name}")
        named[version] = name


def _same(one: str, other: str) -> bool:
    """A network's first version goes by the model's name alone."""
    return one.removesuffix("@1") == other.removesuffix("@1")


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


def _place(digest: bytes) -> float:
    """From 0 to 1."""
    return int.from_bytes(digest, "big") / _WHOLE
