"""What an experiment says by now, and what is to be done about it, in words."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.studies.made_up import counted, place, shadow, split

from fovea_server.studies import accuracy, documents, paired, readout, verdict
from fovea_server.studies.counts import Counted, Sample
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.observations import Disagreement
from fovea_server.studies.readout import Evidence, Readout
from fovea_server.studies.store import RUNNING, STOPPED, Kept
from fovea_server.studies.truth import Labelled
from fovea_server.studies.verdict import Verdict

_HOUR = 3600.0


def _read(experiment: Experiment, evidence: Evidence) -> Readout:
    now = time.time()
    return readout.read(Kept(experiment, RUNNING, stages_at=(now - _HOUR,)), evidence, now)


def _verdict(experiment: Experiment, evidence: Evidence) -> Verdict:
    (said,) = verdict.verdicts(_read(experiment, evidence))
    return said


def _labelled(arm: str, right: int, wrong: int, slice_: str = "") -> list[Labelled]:
    slices = (slice_,) if slice_ else ()
    answers = [True] * right + [False] * wrong
    return [Labelled(time.time(), arm, f"{arm}{slice_}{i}", answer, slices) for i, answer in enumerate(answers)]


def _accuracies(control: tuple[int, int], candidate: tuple[int, int]) -> Evidence:
    return Evidence({}, labelled=[*_labelled("control", *control), *_labelled("candidate", *candidate)])


@pytest.mark.parametrize(
    ("control", "candidate", "fields", "word", "why"),
    [
        ((7000, 3000), (8000, 2000), {}, "promote", "it is better: accuracy \\+10.00 points against the control"),
        ((8000, 2000), (7000, 3000), {}, "roll back", "it is worse: accuracy -10.00 points"),
        ((80, 20), (40, 10), {}, "keep waiting", "50 answers of the smaller arm; the minimum sample is 100"),
        ((800, 200), (805, 195), {}, "keep waiting", "nothing is certain yet: accuracy \\+0.50 points"),
        ((80_000, 20_000), (80_000, 20_000), {}, "no difference", "neither is better by 2.00 points or more"),
        ((16_000, 4_000), (16_200, 3_800), {}, "no difference", "the planned sample of .* answers shows none"),
        (
            (80_000, 20_000),
            (79_900, 20_100),
            {"decision": {"rule": "not_worse"}},
            "promote",
            "it is not worse by 2.00 points or more",
        ),
    ],
)
def test_the_verdict_says_what_to_do_and_why(
    control: tuple[int, int], candidate: tuple[int, int], fields: dict[str, Any], word: str, why: str
) -> None:
    said = _verdict(split(**fields), _accuracies(control, candidate))
    assert said.word == word, said
    assert re.search(why, said.why), said.why


def test_waiting_says_how_long_at_the_pace_of_so_far() -> None:
    found = _read(split(), _accuracies((800, 200), (800, 200)))
    (comparison,) = found.comparisons
    assert comparison.wanted is not None
    assert comparison.wanted == pytest.approx(35_000, rel=0.05)
    left = comparison.seconds_left
    assert left == pytest.approx((comparison.wanted / 2000 - 1) * _HOUR, rel=0.01)
    assert verdict.duration(left) == f"{int(left / _HOUR)} h {math.ceil(left / 60) % 60} min"


def test_one_that_ended_too_early_is_undecided_and_nobody_is_told_to_wait() -> None:
    ended = dataclasses.replace(_kept(split()), state=STOPPED, ended=time.time())
    evidence = _accuracies((80, 20), (40, 10))
    (said,) = verdict.verdicts(readout.read(ended, evidence, time.time()))
    assert (said.word, said.seconds_left) == ("undecided", None)
    assert "it ended before anything was certain: 50 answers" in said.why


def test_less_latency_is_better() -> None:
    counts = {place("control"): counted(500, milliseconds=20.0), place("candidate"): counted(500, milliseconds=10.0)}
    for arm in counts.values():
        for jitter in range(100):
            arm.answer(15.0 + jitter % 3, abstained=False)
    experiment = split(primary_metric="latency", decision={"smallest_effect": 1.0})
    assert _verdict(experiment, Evidence(counts)).word == "promote"
    swapped = {place("control"): counts[place("candidate")], place("candidate"): counts[place("control")]}
    assert _verdict(experiment, Evidence(swapped)).word == "roll back"


def test_abstention_and_events_and_errors_are_read_from_what_gateways_count() -> None:
    for metric, better in (("abstention", "roll back"), ("error_rate", "roll back"), ("event:accepted", "promote")):
        control, candidate = counted(4000), counted(4000)
        candidate.abstained = 800
        candidate.failed = 400
        for number in range(4000):
            control.event("accepted", 0.0 if number % 2 else 1.0)
            candidate.event("accepted", 0.0 if number % 4 == 0 else 1.0)
        experiment = split(primary_metric=metric, guardrails={"error_rate": 0.5})
        assert _verdict(experiment, Evidence({place("control"): control, place("candidate"): candidate})).word == better


def test_uneven_arms_are_not_trusted_whatever_they_say() -> None:
    evidence = _accuracies((7000, 3000), (8000, 2000))
    said = _verdict(split(), Evidence({}, units=[(10_000, 9_000)], labelled=evidence.labelled))
    assert said.word == "do not trust it"
    assert "met by 10,000 and 9,000 where their weights say 9,500 and 9,500" in said.why


def test_a_broken_guardrail_outweighs_a_better_metric() -> None:
    counts = {place("control"): counted(2000), place("candidate"): counted(1800, failed=200)}
    evidence = Evidence(counts, labelled=_accuracies((7000, 3000), (8000, 2000)).labelled)
    said = _verdict(split(), evidence)
    assert said.word == "roll back"
    assert "its error rate is +10.00%" in said.why


@pytest.mark.parametrize(
    ("compared", "differed", "word"),
    [(50, 0, "keep waiting"), (5000, 50, "promote"), (1000, 200, "roll back"), (200, 9, "keep waiting")],
)
def test_a_shadow_is_judged_by_how_often_it_disagrees(compared: int, differed: int, word: str) -> None:
    counts = {place("candidate"): counted(compared=compared, differed=differed)}
    assert _verdict(shadow(), Evidence(counts)).word == word


def test_each_slice_has_an_interval_of_its_own_and_they_hold_together() -> None:
    labelled = [
        *_labelled("control", 900, 100, "device=phone"),
        *_labelled("candidate", 600, 400, "device=phone"),
        *_labelled("control", 900, 100, "device=desk"),
        *_labelled("candidate", 900, 100, "device=desk"),
    ]
    (comparison,) = _read(split(), Evidence({}, labelled=labelled)).comparisons
    phone, desk = comparison.slices["device=phone"], comparison.slices["device=desk"]
    assert phone.upper < 0 < desk.upper
    assert (phone.control, phone.candidate) == (1000, 1000)
    alone = readout.primary(_kept(split()), "candidate", Evidence({}, labelled=labelled), "device=phone", 1)
    assert alone.upper - alone.lower < phone.upper - phone.lower


def _kept(experiment: Experiment) -> Kept:
    return Kept(experiment, RUNNING, stages_at=(time.time() - _HOUR,))


def test_several_candidates_share_the_error_that_is_allowed() -> None:
    arms = [{"name": name, "model": name, "weight": weight} for name, weight in (("a", 0.4), ("b", 0.3), ("c", 0.3))]
    labelled = [*_labelled("a", 800, 200), *_labelled("b", 820, 180), *_labelled("c", 820, 180)]
    comparisons = _read(split(arms=arms), Evidence({}, labelled=labelled)).comparisons
    (two,) = _read(split(), _accuracies((800, 200), (820, 180))).comparisons
    assert [comparison.arm for comparison in comparisons] == ["b", "c"]
    assert comparisons[0].primary.upper - comparisons[0].primary.lower > two.primary.upper - two.primary.lower


def _units(units: int, each: int, seed: int) -> list[Labelled]:
    """Answers to one unit are all right or all wrong, as of somebody who photographs one thing again and again."""
    right = np.random.default_rng(seed).random(units) < 0.8
    return [Labelled(0.0, "control", f"u{unit}", bool(right[unit]), ()) for unit in range(units) for _ in range(each)]


def test_many_answers_to_one_unit_are_not_as_many_observations() -> None:
    sample = accuracy.of_units(_units(200, 10, 1))
    alone = Sample.of_share(sample.mean * sample.count, sample.count)
    assert sample.variance == pytest.approx(10 * alone.variance, rel=0.05)
    assert accuracy.of_units(_units(2000, 1, 1)).variance == pytest.approx(0.8 * 0.2, rel=0.05)
    assert accuracy.of_units(_units(1, 50, 1)).variance == math.inf


def test_the_paired_test_is_mcnemars_with_the_mid_p_correction() -> None:
    for one, other in ((3, 9), (0, 5), (40, 41), (0, 0)):
        count, fewer = one + other, min(one, other)
        exact = 2 * stats.binom.cdf(fewer - 1, count, 0.5) + stats.binom.pmf(fewer, count, 0.5) if count else 1.0
        assert paired.mid_p(one, other) == pytest.approx(min(exact, 1.0))


def test_disagreements_are_told_apart_by_who_was_right() -> None:
    def of(identity: str, control: str, candidate: str) -> Disagreement:
        return Disagreement("trial", identity, 0.0, "", control, candidate)

    disagreements = [of("a", "cat", "dog"), of("b", "cat", "dog"), of("c", "cat", "dog"), of("d", "cat", "dog")]
    found = paired.mcnemar(disagreements, {"a": "cat", "b": "dog", "c": "fox"})
    assert (found.only_control, found.only_candidate, found.neither) == (1, 1, 1)


@pytest.mark.parametrize("counts", [{}, {place("control"): counted(1)}])
def test_what_is_not_known_yet_is_null_in_json(counts: Counted) -> None:
    for experiment in (split(), shadow(), split(primary_metric="event:accepted"), split(primary_metric="latency")):
        document: Sequence[Any] = json.loads(json.dumps(documents.of_readout(_read(experiment, Evidence(counts)))))
        assert document["comparisons"][0]["primary"]["lower"] is None  # type: ignore[call-overload]
        assert document["verdicts"][0]["word"] == "keep waiting"  # type: ignore[call-overload]
