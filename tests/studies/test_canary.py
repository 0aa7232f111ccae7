"""A bad candidate is taken back before it has served many; a good one is not taken back for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.studies.made_up import canary, counted, place, split

from fovea_server.studies import canary as canaries
from fovea_server.studies.counts import Counts, Place
from fovea_server.studies.declaration import Experiment

_PER_LOOK = 20  # requests of the candidate between two looks of the caretaker


class Rollout:
    """A canary whose two arms fail with the given chances, looked at again and again."""

    def __init__(self, experiment: Experiment, control: float, candidate: float, seed: int) -> None:
        self._experiment = experiment
        self._chances = {"control": control, "candidate": candidate}
        self._random = np.random.default_rng(seed)
        self._counted: dict[Place, Counts] = {}
        self.stage, self.served = 0, 0

    def run(self) -> canaries.Step:
        """Until it ends; how, and why."""
        while True:
            self._serve()
            step = canaries.decide(self._experiment, self._counted, self.stage, held_seconds=1e9)
            if step.act == "advance":
                self.stage += 1
            elif step.act != "hold":
                return step

    def _serve(self) -> None:
        share = self._experiment.canary.steps[self.stage]
        self._add("candidate", _PER_LOOK)
        self._add("control", round(_PER_LOOK * (1 - share) / share))
        self.served += _PER_LOOK

    def _add(self, arm: str, requests: int) -> None:
        counts = self._counted.setdefault(place(arm, self.stage), Counts())
        failed = int(self._random.binomial(requests, self._chances[arm]))
        counts.failed += failed
        counts.answered += requests - failed


@pytest.mark.parametrize("base", [0.0, 0.005, 0.01, 0.05])
def test_a_candidate_with_5_points_more_errors_is_rolled_back_before_it_served_2000_requests(base: float) -> None:
    for seed in range(40):
        rollout = Rollout(canary(), base, base + 0.05, seed)
        step = rollout.run()
        assert step.act == "roll back", (seed, step)
        assert rollout.served < 2000, seed
        assert "its error rate is +" in step.why


@pytest.mark.parametrize("base", [0.0, 0.001, 0.01, 0.1])
def test_a_candidate_as_good_as_the_control_is_promoted_in_at_least_95_percent(base: float) -> None:
    ends = [Rollout(canary(), base, base, seed).run().act for seed in range(60)]
    assert ends.count("promote") >= 57


def test_one_that_fails_always_is_rolled_back_within_a_few_requests() -> None:
    rollout = Rollout(canary(), 0.0, 1.0, 0)
    assert rollout.run().act == "roll back"
    assert rollout.served <= 40


def test_one_that_fails_only_once_everybody_meets_it_is_still_rolled_back() -> None:
    """At the last step nobody meets the control; the step before stands in for it."""
    counted_ = {
        **{place(arm, stage): counted(1000) for stage in range(4) for arm in ("control", "candidate")},
        place("candidate", 4): counted(900, failed=100),
    }
    assert canaries.decide(canary(), counted_, 4, 1e9).act == "roll back"


def test_an_outage_that_hits_both_arms_alike_is_not_the_candidates_fault() -> None:
    """The candidate meets most of its traffic late: the sums over all steps would blame it for a bad evening."""
    counted_ = {
        place("control", 0): counted(99_000),
        place("candidate", 0): counted(1000),
        place("control", 3): counted(900, failed=100),
        place("candidate", 3): counted(900, failed=100),
    }
    assert canaries.decide(canary(), counted_, 3, 1e9).act == "advance"


@pytest.mark.parametrize(
    ("seconds", "requests", "act"),
    [(599, 400, "hold"), (600, 399, "hold"), (600, 400, "advance")],
)
def test_each_step_is_held_for_its_time_and_its_requests(seconds: float, requests: int, act: str) -> None:
    counted_ = {place("control"): counted(1000), place("candidate"): counted(requests)}
    step = canaries.decide(canary(), counted_, 0, seconds)
    assert step.act == act
    assert f"{requests:,}" in step.why


def test_after_the_last_step_it_is_promoted() -> None:
    counted_ = {place(arm, stage): counted(500) for stage in range(5) for arm in ("control", "candidate")}
    assert canaries.decide(canary(), counted_, 4, 1e9).act == "promote"


def test_one_whose_99th_percentile_is_more_than_one_and_a_half_times_the_controls_is_rolled_back() -> None:
    slow = counted(380)
    for _ in range(20):
        slow.answer(40.0, abstained=False)
    step = canaries.decide(canary(), {place("control"): counted(2000), place("candidate"): slow}, 0, 0.0)
    assert step.act == "roll back"
    assert "20 of its 400 answers took more than" in step.why


def _answer(counts: Counts, milliseconds: NDArray[np.float64]) -> None:
    for each in milliseconds:
        counts.answer(float(each), abstained=False)


def _ever_slower(ratio: float, share: float, times: float, experiments: int, per_look: int) -> float:
    """How often the guardrail of the latency breaks within ten looks, where the candidate takes that many times as
    long."""
    random, broken = np.random.default_rng(7), 0
    experiment = split(guardrails={"p99_ratio": ratio})
    for _ in range(experiments):
        control, candidate = Counts(), Counts()
        for _ in range(10):
            _answer(control, random.lognormal(3, 0.5, round(per_look * (1 - share))))
            _answer(candidate, times * random.lognormal(3, 0.5, round(per_look * share)))
            if canaries.broken_guardrail(experiment, {place("control"): control, place("candidate"): candidate}):
                broken += 1
                break
    return broken / experiments


@pytest.mark.parametrize(("share", "per_look"), [(0.5, 800), (0.95, 2000)])
def test_of_two_arms_that_are_as_fast_at_most_5_percent_ever_break_the_guardrail_of_no_slower(
    share: float, per_look: int
) -> None:
    assert _ever_slower(1.0, share, times=1.0, experiments=60, per_look=per_look) <= 0.05


@pytest.mark.parametrize(("ratio", "times"), [(1.2, 2.0), (1.5, 2.5)])
def test_one_that_takes_far_longer_than_it_may_always_breaks_it(ratio: float, times: float) -> None:
    assert _ever_slower(ratio, 0.5, times, experiments=20, per_look=800) == 1.0


def test_of_few_answers_of_the_control_nobody_knows_the_99th_percentile() -> None:
    counts = {place("control"): counted(400), place("candidate"): counted(4000, milliseconds=30.0)}
    assert canaries.broken_guardrail(canary(), counts) is None
    counts[place("control")] = counted(700)
    assert canaries.broken_guardrail(canary(), counts) is not None


def test_a_single_slow_answer_is_not_a_slow_candidate() -> None:
    slow = counted(99)
    slow.answer(400.0, abstained=False)
    step = canaries.decide(canary(), {place("control"): counted(2000), place("candidate"): slow}, 0, 0.0)
    assert step.act == "hold"


def test_disagreement_beyond_what_is_allowed_breaks_a_guardrail() -> None:
    experiment = canary(shadow_share=0.1, guardrails={"disagreement": 0.05})
    for differed, act in ((60, "roll back"), (20, "hold")):
        candidate = counted(100, compared=400, differed=differed)
        step = canaries.decide(experiment, {place("control"): counted(100), place("candidate"): candidate}, 0, 0.0)
        assert step.act == act


def test_a_candidate_that_fails_in_one_slice_alone_breaks_the_guardrail_of_the_worst_slice() -> None:
    counted_ = {
        place("control"): counted(4000),
        place("candidate"): counted(3970, failed=30),
        place("control", slice_="device=phone"): counted(200),
        place("candidate", slice_="device=phone"): counted(150, failed=50),
        place("control", slice_="device=desk"): counted(3800),
        place("candidate", slice_="device=desk"): counted(3800),
    }
    without = canary(guardrails={"error_rate": 0.02})
    guarded = canary(guardrails={"error_rate": 0.02, "worst_slice": 0.05})
    assert canaries.broken_guardrail(without, counted_) is None
    broken = canaries.broken_guardrail(guarded, counted_)
    assert broken is not None
    assert "where device=phone" in broken
