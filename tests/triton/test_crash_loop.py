"""Deaths in quick succession are a loop, and each start waits longer than the one before."""

from __future__ import annotations

from fovea_server.triton.crash_loop import CrashLoop, CrashLoopSettings


def _after(*moments: float) -> CrashLoop:
    loop = CrashLoop(CrashLoopSettings(deaths=3, seconds=60, first_backoff=0.25, longest_backoff=30))
    for moment in moments:
        loop.died(moment)
    return loop


def test_enough_deaths_within_the_time_are_a_loop_and_spread_out_they_are_not() -> None:
    assert _after(0, 20, 40).looping
    assert not _after(0, 40, 80).looping


def test_a_loop_is_one_until_all_has_run_for_the_whole_time() -> None:
    loop = _after(0, 1, 2)
    loop.runs(32)
    loop.died(91)
    assert loop.looping
    loop.runs(121)
    loop.died(182)
    assert not loop.looping


def test_waiting_for_the_next_start_does_not_end_a_loop() -> None:
    loop = CrashLoop(CrashLoopSettings(deaths=3, seconds=10, longest_backoff=30))
    for moment in (0, 1, 2, 32, 62, 92):
        loop.died(moment)
    assert (loop.looping, loop.next_backoff(), loop.in_words()) == (True, 30, "3 deaths within 10 s")


def test_each_wait_is_twice_the_one_before_and_in_a_loop_the_longest() -> None:
    loop = _after(0, 1)
    assert [loop.next_backoff() for _ in range(3)] == [0.25, 0.5, 1.0]
    loop.died(2)
    assert loop.next_backoff() == 30
    loop.runs(30)
    loop.died(100)
    assert loop.next_backoff() == 0.25
