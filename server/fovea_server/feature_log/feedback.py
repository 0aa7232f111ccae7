"""What turned out to be true of an answer: judged by what the models know, then written, and only then accepted."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fovea_server.domain import Caller, Model
from fovea_server.errors import BadParameter, FeatureLogUnavailable, FoveaError, UnknownLabel, UnknownModel
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.frames import Row
from fovea_server.feature_log.queue import Queue
from fovea_server.feature_log.rows import SCHEMA_VERSION
from fovea_server.metrics import Metrics

_REMEMBERED = 65_536  # answers whose models a process knows by heart
_PATIENCE = 10.0  # seconds for the disk
_LEAD = 1_000_000  # microseconds that feedback may be ahead of the clock
_LONGEST_LABEL = 200  # characters, where the model has no labels of its own
_SUGGESTED = 10  # refusals of one call that name the nearest labels, which takes milliseconds each


@dataclass(frozen=True)
class Feedback:
    """`label` is a name or an index of the model's labels; `model` says whose where several answered."""

    id: str
    label: str | int
    model: str | None = None


@dataclass(frozen=True)
class Accepted:
    """Kept. `matched`: this process gave that answer lately; else the join will tell whether there is one."""

    id: str
    matched: bool

    @property
    def status(self) -> str:
        return "matched" if self.matched else "pending"


class Recent:
    """Which models answered under an id, of the last answers of this process."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._models: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def add(self, identity: str, models: tuple[str, ...]) -> None:
        self._models[identity] = models
        if len(self._models) > self._most:
            self._models.popitem(last=False)

    def models_of(self, identity: str) -> tuple[str, ...] | None:
        return self._models.get(identity)


class FeedbackDesk:
    """Takes feedback. `served` are the models in service."""

    def __init__(
        self,
        queue: Queue,
        pseudonyms: Pseudonyms,
        recent: Recent,
        served: Callable[[], Iterable[Model]],
        metrics: Metrics,
    ) -> None:
        self._queue = queue
        self._pseudonyms = pseudonyms
        self._recent = recent
        self._served = served
        self._metrics = metrics
        self._last = 0

    async def accept(self, given: Sequence[Feedback], caller: Caller) -> list[Accepted | FoveaError]:
        """What became of each, in order: it is on the disk, or why it is not fit to be.

        Raises FeatureLogUnavailable where the disk does not take it; then none is kept.
        """
        judged = await asyncio.to_thread(self._judge_all, given)
        who = self._pseudonyms.of(caller.name)
        kept = [(each, label) for each, label in zip(given, judged, strict=True) if isinstance(label, str)]
        if kept:
            await self._written([self._row(each, label, who) for each, label in kept])
        outcomes = [
            Accepted(each.id, self._recent.models_of(each.id) is not None) if isinstance(label, str) else label
            for each, label in zip(given, judged, strict=True)
        ]
        for outcome in outcomes:
            self._metrics.feedback_given(outcome.status if isinstance(outcome, Accepted) else "refused")
        return outcomes

    async def accept_fit(self, given: Sequence[Feedback | FoveaError], caller: Caller) -> list[Accepted | FoveaError]:
        """The same where some could not even be read: those stay what is wrong with them."""
        fit = [each for each in given if isinstance(each, Feedback)]
        for _ in range(len(given) - len(fit)):
            self._metrics.feedback_given("refused")
        judged = iter(await self.accept(fit, caller) if fit else ())
        return [next(judged) if isinstance(each, Feedback) else each for each in given]

    async def _written(self, rows: list[Row]) -> None:
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._queue.give(rows)), _PATIENCE)
        except (asyncio.TimeoutError, TimeoutError):
            raise FeatureLogUnavailable(f"the disk took longer than {_PATIENCE:g} s", retry_after=10.0) from None
        except OSError as error:
            raise FeatureLogUnavailable(f"it cannot be written: {error.strerror}", retry_after=10.0) from None

    def _judge_all(self, given: Sequence[Feedback]) -> list[str | FoveaError]:
        """The label of each by its name, or why it is refused."""
        judged: list[str | FoveaError] = []
        refused = 0
        for feedback in given:
            try:
                judged.append(self._label(feedback, suggest=refused < _SUGGESTED))
            except FoveaError as error:
                refused += 1
                judged.append(error)
        return judged

    def _row(self, feedback: Feedback, label: str, caller: str) -> Row:
        now = time.time_ns() // 1000
        # No two at the same microsecond, for the last one counts. A clock that was set back is followed, all the same.
        self._last = now if self._last - now > _LEAD else max(self._last + 1, now)
        return {
            "schema_version": SCHEMA_VERSION,
            "id": feedback.id,
            "received": self._last,
            "caller": caller,
            "model": feedback.model,
            "label": label,
        }

    def _label(self, feedback: Feedback, suggest: bool) -> str:
        models = self._candidates(feedback)
        if isinstance(feedback.label, int):
            return _by_index(feedback.label, models)
        return _by_name(feedback.label, models, suggest)

    def _candidates(self, feedback: Feedback) -> list[Model]:
        """Whose answer it may be about: the model that is named, those that answered, or all."""
        served = {model.identity.name: model for model in self._served()}
        if feedback.model is not None:
            if feedback.model not in served:
                names = ", ".join(served)
                raise UnknownModel(f"model: there is no model {feedback.model[:80]!r}; served: {names}")
            return [served[feedback.model]]
        answered = self._recent.models_of(feedback.id)
        return [served[name] for name in answered or () if name in served] or list(served.values())


def _by_index(index: int, models: Sequence[Model]) -> str:
    """The label that all of the models have at the index."""
    if len(models) > 1 and len({model.labels for model in models}) > 1:
        names = ", ".join(model.identity.name for model in models)
        raise BadParameter(f"label {index} is a number: say with `model` whose label it is, one of {names}")
    model = models[0]
    if not 0 <= index < len(model.labels):
        raise UnknownLabel(f"label {index}: {model.identity.name} has {len(model.labels)} labels, from 0 on")
    return model.labels[index]


def _by_name(label: str, models: Sequence[Model], suggest: bool) -> str:
    """The label itself, where one of the models has it, or has no labels at all."""
    if any(label in model.labels for model in models):
        return label
    if any(not model.labels for model in models) and 0 < len(label) <= _LONGEST_LABEL:
        return label
    names = " and ".join(model.identity.name for model in models)
    nearest = _nearest(label, models) if suggest else []
    hint = f"; the nearest: {', '.join(nearest)}" if nearest else ""
    raise UnknownLabel(f"label: {names} has no label {label[:80]!r}{hint}")


def _nearest(label: str, models: Sequence[Model]) -> list[str]:
    known = {each.lower(): each for model in models for each in model.labels}
    return [known[each] for each in difflib.get_close_matches(label[:80].lower(), known, n=3, cutoff=0.5)]
