"""What to do with an experiment, in a word and in a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fovea_server.studies import metrics
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.readout import Comparison, Readout

Word = Literal["promote", "roll back", "keep waiting", "no difference", "undecided", "do not trust it"]


@dataclass(frozen=True)
class Verdict:
    """About one candidate. `seconds_left` where waiting is what to do, None where nobody can tell yet."""

    arm: str
    word: Word
    why: str
    seconds_left: float | None = None


def verdicts(readout: Readout) -> tuple[Verdict, ...]:
    """One for each candidate. There is nothing to wait for once an experiment has ended."""
    found = tuple(_verdict(readout, comparison) for comparison in readout.comparisons)
    if readout.kept.ended is None:
        return found
    return tuple(_undecided(each) if each.word == "keep waiting" else each for each in found)


def _undecided(said: Verdict) -> Verdict:
    return Verdict(said.arm, "undecided", f"it ended before anything was certain: {said.why}")


def _verdict(readout: Readout, comparison: Comparison) -> Verdict:
    experiment, arm = readout.kept.experiment, comparison.arm
    ratio, found = readout.sample_ratio, comparison.primary
    if ratio.is_mismatch:
        return Verdict(
            arm,
            "do not trust it",
            f"the arms were met by {_list(ratio.observed)} where their weights say {_list(map(round, ratio.expected))} "
            f"(p = {ratio.p_value:.1g}, valid at every look): units are lost or counted twice, and no comparison holds",
        )
    if readout.broken:
        return Verdict(arm, "roll back", readout.broken)
    if experiment.primary_metric == metrics.AGREEMENT:
        return _of_agreement(experiment, comparison)
    fewest = min(found.control, found.candidate)
    if fewest < experiment.minimum_sample:
        return Verdict(
            arm,
            "keep waiting",
            f"{fewest:,} answers of the smaller arm; the minimum sample is {experiment.minimum_sample:,}",
            comparison.seconds_left,
        )
    return _of_difference(experiment, comparison)


def _of_difference(experiment: Experiment, comparison: Comparison) -> Verdict:
    """By where the interval lies, turned so that more is better."""
    arm, found, decision = comparison.arm, comparison.primary, experiment.decision
    lower, upper = (found.lower, found.upper) if experiment.prefers_more else (-found.upper, -found.lower)
    said = in_words(experiment, comparison)
    if lower > 0:
        return Verdict(arm, "promote", f"it is better: {said}")
    if decision.rule == "not_worse" and lower > -decision.smallest_effect:
        return Verdict(arm, "promote", f"it is not worse by {_effect(experiment)} or more: {said}")
    if upper < 0:
        return Verdict(arm, "roll back", f"it is worse: {said}")
    if lower > -decision.smallest_effect and upper < decision.smallest_effect:
        return Verdict(arm, "no difference", f"neither is better by {_effect(experiment)} or more: {said}")
    if comparison.wanted is not None and found.control + found.candidate >= comparison.wanted:
        return Verdict(
            arm,
            "no difference",
            f"the planned sample of {comparison.wanted:,} answers shows none; one of {_effect(experiment)} "
            f"would be found in {decision.power:.0%} of all cases: {said}",
        )
    return Verdict(arm, "keep waiting", f"nothing is certain yet: {said}", comparison.seconds_left)


def _of_agreement(experiment: Experiment, comparison: Comparison) -> Verdict:
    arm, found, allowed = comparison.arm, comparison.primary, experiment.decision.smallest_effect
    if found.candidate < experiment.minimum_sample:
        why = f"{found.candidate:,} images compared; the minimum sample is {experiment.minimum_sample:,}"
        return Verdict(arm, "keep waiting", why)
    said = (
        f"it disagrees with the control on {-found.estimate:.2%} of {found.candidate:,} images "
        f"({-found.upper:.2%} to {-found.lower:.2%}); {allowed:.2%} are allowed"
    )
    if found.lower > -allowed:
        return Verdict(arm, "promote", said)
    if found.upper < -allowed:
        return Verdict(arm, "roll back", said)
    return Verdict(arm, "keep waiting", said)


def in_words(experiment: Experiment, comparison: Comparison) -> str:
    """The estimate and its interval, in the metric's own unit."""
    found, metric = comparison.primary, experiment.primary_metric
    if math.isnan(found.estimate):
        return f"nothing is known of {metric} yet"
    low, high = amount(metric, found.lower), amount(metric, found.upper)
    return f"{metric} {amount(metric, found.estimate)} against the control, {low} to {high}"


def amount(metric: str, value: float) -> str:
    """A difference of the metric, with its sign and unit."""
    if metrics.is_share(metric):
        return f"{value * 100:+.2f} points"
    return f"{value:+.2f} ms" if metric == metrics.LATENCY else f"{value:+.4g}"


def duration(seconds: float | None) -> str:
    """For people: "3 h 20 min"."""
    if seconds is None:
        return "nobody can tell yet how long"
    minutes = math.ceil(seconds / 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _effect(experiment: Experiment) -> str:
    return amount(experiment.primary_metric, experiment.decision.smallest_effect).removeprefix("+")


def _list(numbers: object) -> str:
    return " and ".join(f"{number:,}" for number in numbers)  # type: ignore[attr-defined]
