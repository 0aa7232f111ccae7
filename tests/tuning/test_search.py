"""What the search finds, what noise does to it, and how it is resumed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fovea_server.errors import StartError
from fovea_server.triton.tuned import Setting
from fovea_server.tuning.axes import axes
from fovea_server.tuning.journal import Journal
from fovea_server.tuning.search import BudgetSpent, Search, most_trials
from fovea_server.tuning.trial import Role, Trial

BASELINE = Setting(2, 1, 8, 0, "int8")
AXES = axes(cores=2, precisions=["int8", "f32"])
PLAN = {"goal": "throughput", "p99_ms": 100.0}

Score = Callable[[Setting], float]


def _better_with_larger_batches(setting: Setting) -> float:
    gain = {8: 1.0, 16: 1.2, 32: 1.1}[setting.batch] * (1.3 if setting.delay == 500 else 1.0)
    return 100 * gain * (0.5 if setting.precision == "f32" else 1.0)


def _searched(score: Score, trials: int = 10_000) -> tuple[Search, list[Trial]]:
    done: list[Trial] = []

    def run(setting: Setting, role: Role) -> Trial:
        if len(done) == trials:
            raise BudgetSpent
        done.append(Trial(role, setting, score(setting), ()))
        return done[-1]

    search = Search.begin(BASELINE)
    search.run(AXES, run)
    return search, done


def test_what_is_better_along_several_axes_is_found_together() -> None:
    search, trials = _searched(_better_with_larger_batches)
    assert (search.best.batch, search.best.delay) == (16, 500)
    assert search.score == pytest.approx(156.0)
    assert search.done
    assert search.won == ["batch: batch 16", "delay: delay 500"]
    assert len(trials) < 45


def test_one_round_takes_no_more_trials_than_are_announced() -> None:
    _, trials = _searched(lambda setting: 100.0)
    assert len(trials) <= most_trials(AXES, BASELINE)


@pytest.mark.parametrize("seed", range(10))
def test_noise_of_a_tenth_changes_nothing(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    noisy = {"first": [95.0, 105.0]}

    def score(setting: Setting) -> float:
        return noisy["first"].pop() if noisy["first"] else 100 * chance.uniform(0.95, 1.05)

    search, _ = _searched(score)
    assert search.best == BASELINE


def test_a_machine_that_gets_faster_meanwhile_makes_no_setting_win() -> None:
    passed = itertools.count()
    search, _ = _searched(lambda setting: 100 * 1.01 ** next(passed))
    assert search.best == BASELINE


def test_a_lucky_first_measurement_is_not_enough() -> None:
    seen: set[Setting] = set()

    def lucky(setting: Setting) -> float:
        first = setting not in seen
        seen.add(setting)
        return 105.0 if first and setting.batch == 32 else 100.0 if setting.batch == 8 else 90.0

    assert _searched(lucky)[0].best == BASELINE


def test_where_the_default_keeps_no_bound_a_setting_that_does_wins() -> None:
    search, _ = _searched(lambda setting: 50.0 if setting.threads == 2 else 0.0)
    assert search.best.threads == 2
    assert search.score == 50.0


def test_where_no_setting_keeps_the_bound_the_score_is_nothing() -> None:
    assert _searched(lambda setting: 0.0)[0].score == 0.0


def test_when_the_time_is_over_the_best_so_far_stays() -> None:
    search, _ = _searched(_better_with_larger_batches, trials=20)
    assert not search.done
    assert search.best.batch == 16


def test_a_sweep_that_was_cut_off_goes_on_where_it_was_and_finds_the_same(tmp_path: Path) -> None:
    whole, trials = _searched(_better_with_larger_batches)
    journal = Journal.begin(tmp_path, "net", PLAN)
    journal.set_middle(100.0)
    for trial in trials[:17]:
        journal.add(trial)
    with journal.path.open("a") as file:
        file.write('{"trial": {"role": "cand')  # the moment of Ctrl-C

    again = Journal.resume(tmp_path, "net", PLAN)
    assert (again.middle, again.remembered) == (100.0, 17)
    measured: list[Trial] = []

    def run(setting: Setting, role: Role) -> Trial:
        if recalled := again.recall(setting, role):
            return recalled
        measured.append(Trial(role, setting, _better_with_larger_batches(setting), ()))
        again.add(measured[-1])
        return measured[-1]

    search = Search.begin(BASELINE)
    search.run(AXES, run)
    assert (search.best, search.score) == (whole.best, whole.score)
    assert len(measured) == len(trials) - 17
    assert Journal.resume(tmp_path, "net", PLAN).remembered == len(trials)


def test_a_sweep_with_another_plan_or_none_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no sweep of net"):
        Journal.resume(tmp_path, "net", PLAN)
    Journal.begin(tmp_path, "net", PLAN)
    with pytest.raises(StartError, match=r"p99_ms was 100\.0 and is 50\.0"):
        Journal.resume(tmp_path, "net", {**PLAN, "p99_ms": 50.0})


def test_on_any_number_of_cores_no_way_to_use_them_is_absurd() -> None:
    for cores in (1, 2, 3, 4, 8, 64):
        start = Setting(1, cores, 8, 0, "f32")
        for axis in axes(cores, ["f32"]):
            for setting in axis.candidates(start):
                assert 1 <= setting.instances * setting.threads <= 2 * cores
                assert setting.batch >= 8


def test_one_baseline_is_a_score() -> None:
    search, _ = _searched(lambda setting: 60.0, trials=1)
    assert (search.score, search.first, search.done) == (60.0, 60.0, False)


def test_what_was_measured_after_the_record_forked_is_remembered(tmp_path: Path) -> None:
    def trial(batch: int, role: Role) -> Trial:
        return Trial(role, Setting(1, 2, batch, 0, "int8"), float(batch), ())

    journal = Journal.begin(tmp_path, "net", PLAN)
    for each in (first := trial(8, "baseline"), trial(16, "candidate"), trial(24, "candidate")):
        journal.add(each)
    forked = Journal.resume(tmp_path, "net", PLAN)
    others = [trial(batch, "candidate") for batch in (32, 64)]
    assert forked.recall(first.setting, "baseline") == first
    assert forked.recall(others[0].setting, "candidate") is None
    for each in others:
        forked.add(each)

    again = Journal.resume(tmp_path, "net", PLAN)
    assert again.remembered == 3
    assert [again.recall(each.setting, each.role) for each in (first, *others)] == [first, *others]
    assert again.path.read_text().count('"trial"') == 5


def test_a_record_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    Journal.begin(tmp_path, "net", PLAN).path.write_bytes(b'{"plan": {}}\n[1]\n')
    with pytest.raises(StartError, match=r"\.jsonl cannot be read"):
        Journal.resume(tmp_path, "net", PLAN)
