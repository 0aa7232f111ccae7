"""The same unit meets the same arm, in the declared shares, and nothing but the plan decides it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from tests.request.questions import a_model, a_question

from fovea_server.domain import Caller, Exposure, Model
from fovea_server.errors import BadParameter, InferenceFailed, UnknownModel
from fovea_server.feature_log.note import NoLog, Note
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.routing import Arm, Plan, Route, Routing, Split, digest_of, unit_of
from fovea_server.studies import sample_ratio

_ARMS = (Arm("control", "alpha", 0.5), Arm("candidate", "beta", 0.3), Arm("third", "gamma", 0.2))
_SPLIT = Split("trial", "salt", "unit", _ARMS)


class Seen:
    """What the routing says became of exposures."""

    def __init__(self) -> None:
        self.of: list[tuple[str, Exposure | None]] = []

    def answered(self, note: Note) -> None:
        self.of.append(("answered", note.exposure))

    def failed(self, note: Note) -> None:
        self.of.append(("failed", note.exposure))


def _routing(plan: Plan, *models: str) -> tuple[Routing, Seen]:
    seen = Seen()
    routing = Routing(Catalogue([a_model(name) for name in models or ("alpha", "beta", "gamma")]), seen)
    routing.plan = plan
    return routing, seen


def _arm(split: Split, unit: str) -> Arm:
    return split.arm_at(digest_of(split.salt, unit))


def _following(routing: Routing, **fields: Any) -> AbstractContextManager[list[Model]]:
    question = a_question(**fields)
    return routing.follow(routing.route(question), NoLog().note(question))


def test_a_million_units_deviate_less_than_half_a_percent_from_the_weights_and_pass_the_sample_ratio_check() -> None:
    met = dict.fromkeys((arm.name for arm in _ARMS), 0)
    began = time.perf_counter()
    for unit in range(1_000_000):
        met[_arm(_SPLIT, f"user-{unit}").name] += 1
    each = (time.perf_counter() - began) / 1_000_000
    for arm in _ARMS:
        assert abs(met[arm.name] / 1_000_000 - arm.share) < 0.005
    assert not sample_ratio.check([list(met.values())], [arm.share for arm in _ARMS]).is_mismatch
    assert each < 100e-6, "assignment is a matter of microseconds"


def test_another_process_and_another_time_give_the_same_arms() -> None:
    code = (
        "from fovea_server.request.routing import Arm, Split, digest_of\n"
        "arms = (Arm('control', 'alpha', 0.5), Arm('candidate', 'beta', 0.3), Arm('third', 'gamma', 0.2))\n"
        "split = Split('trial', 'salt', 'unit', arms)\n"
        "digests = (digest_of('salt', f'user-{unit}') for unit in range(500))\n"
        "print(' '.join(split.arm_at(digest).name for digest in digests))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert there == [_arm(_SPLIT, f"user-{unit}").name for unit in range(500)]
    # Written down once: whoever changes the hash reassigns everybody's users.
    assert digest_of("salt", "user-1").hex() == "5909fc146c4b4f7f"


def test_another_salt_deals_the_units_anew() -> None:
    other = Split("trial", "another", "unit", _ARMS)
    units = [f"user-{unit}" for unit in range(4000)]
    same = np.mean([_arm(_SPLIT, unit) == _arm(other, unit) for unit in units])
    assert same == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.05)


def test_who_meets_the_candidate_of_a_canary_still_does_when_its_share_grows() -> None:
    units = [f"user-{unit}" for unit in range(5000)]
    before: set[str] = set()
    for share in (0.01, 0.05, 0.25, 0.5, 1.0):
        split = Split("trial", "salt", "unit", (Arm("control", "alpha", 1 - share), Arm("candidate", "beta", share)))
        met = {unit for unit in units if _arm(split, unit).name == "candidate"}
        assert before <= met
        assert len(met) / len(units) == pytest.approx(share, abs=0.03)
        before = met


def test_the_unit_is_what_was_declared_or_else_the_next_best() -> None:
    question = a_question(unit="user", caller=Caller("key"))
    assert [unit_of(kind, question) for kind in ("unit", "key", "request")] == ["user", "key", question.id]
    assert unit_of("unit", a_question(caller=Caller("key"))) == "key"
    assert unit_of("unit", a_question()) == a_question().id


def test_who_asks_for_one_model_or_for_the_default_meets_its_experiment() -> None:
    routing, seen = _routing(Plan({"alpha": _SPLIT}))
    for models in ((), ("alpha",)):
        question = a_question(models=models, unit="user-1")
        note = NoLog().note(question)
        with routing.follow(routing.route(question), note) as borrowed:
            pass
        arm = _arm(_SPLIT, "user-1")
        assert [model.identity.name for model in borrowed] == [arm.target]
        assert note.exposure == Exposure("trial", arm.name, digest_of("salt", "user-1").hex())
    assert seen.of == [("answered", note.exposure)] * 2


@pytest.mark.parametrize("models", [("beta",), ("alpha", "beta")])
def test_who_asks_for_another_model_or_for_several_is_in_no_experiment(models: tuple[str, ...]) -> None:
    routing, seen = _routing(Plan({"alpha": _SPLIT}))
    question = a_question(models=models)
    note = NoLog().note(question)
    with routing.follow(routing.route(question), note) as borrowed:
        assert tuple(model.identity.name for model in borrowed) == models
    assert note.exposure is None
    assert seen.of == []


def test_an_arm_that_is_not_served_any_more_is_answered_by_who_was_asked() -> None:
    gone = Split("trial", "salt", "unit", (Arm("control", "alpha", 0.0), Arm("candidate", "gone", 1.0)))
    routing, _ = _routing(Plan({"alpha": gone}))
    question = a_question()
    note = NoLog().note(question)
    with routing.follow(routing.route(question), note) as borrowed:
        assert [model.identity.name for model in borrowed] == ["alpha"]
    assert note.exposure is None


def test_since_an_experiment_ended_its_winner_answers_who_asks_for_the_model_alone() -> None:
    routing, _ = _routing(Plan(pointers={"alpha": "beta", "gamma": "gone"}))
    assert routing.route(a_question()).models == ("beta",)
    assert routing.route(a_question(models=("alpha",))).models == ("beta",)
    assert routing.route(a_question(models=("alpha@1",))).models == ("alpha@1",)
    assert routing.route(a_question(models=("gamma",))).models == ("gamma",)
    assert routing.route(a_question(models=("alpha", "gamma"))).models == ("alpha", "gamma")


def test_an_error_of_the_server_counts_against_the_arm_and_one_of_the_caller_does_not() -> None:
    routing, seen = _routing(Plan({"alpha": _SPLIT}))
    for error in (InferenceFailed("no"), BadParameter("no"), ZeroDivisionError()):
        with pytest.raises(type(error)), _following(routing):
            raise error
    assert [outcome for outcome, _ in seen.of] == ["failed", "failed"]


def test_a_model_that_nobody_knows_is_refused_as_ever() -> None:
    routing, _ = _routing(Plan({"alpha": _SPLIT}))
    with pytest.raises(UnknownModel), _following(routing, models=("delta",)):
        pass


@pytest.mark.parametrize("models", [("alpha", "alpha@1"), ("beta", "alpha@1", "alpha")])
def test_one_model_by_two_of_its_names_is_refused_as_the_same_name_twice_is(models: tuple[str, ...]) -> None:
    routing, _ = _routing(Plan())
    with (
        pytest.raises(BadParameter, match=r"models names alpha@1 more than once: as alpha"),
        _following(routing, models=models),
    ):
        pass
    with _following(routing, models=("alpha@1", "beta")) as borrowed:
        assert [model.identity.name for model in borrowed] == ["alpha", "beta"]


def test_in_an_overload_the_cheaper_model_answers_and_nobody_meets_an_experiment() -> None:
    cheaper = dataclasses.replace(a_model("alpha"), degrade_to="beta")
    routing = Routing(Catalogue([cheaper, a_model("beta")]), Seen())
    routing.plan = Plan({"alpha": _SPLIT})
    assert routing.route(a_question(), overloaded=True) == Route((), degraded=True)
    assert routing.route(a_question(models=("alpha",)), overloaded=True).exposure is not None


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("alpha", "experiment trial, which is running"),
        ("beta", "experiment trial, which is running"),
        ("beta@1", "experiment trial, which is running"),
        ("promoted", "answers for old since an experiment ended"),
        ("beta@2", None),
        ("old", None),
    ],
)
def test_a_model_that_callers_would_miss_is_needed(target: str, why: str | None) -> None:
    routing, _ = _routing(Plan({"alpha": _SPLIT}, {"old": "promoted", "same": "same"}))
    said = routing.needs(target)
    assert (why in said) if why and said else said is why
