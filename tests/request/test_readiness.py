"""Ready, not ready, draining: what callers and balancers are told in each."""

from __future__ import annotations

import time

import pytest

from fovea_server.errors import Draining, NotReady
from fovea_server.request.readiness import Readiness


def test_a_new_server_is_not_ready_and_says_why() -> None:
    with pytest.raises(NotReady, match="Triton is starting"):
        Readiness().check()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The one number is the time."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def _advised(readiness: Readiness) -> float | None:
    with pytest.raises(NotReady) as raised:
        readiness.check_announced()
    return raised.value.retry_after


def test_the_wait_that_is_advised_is_what_is_left_of_how_long_the_start_took(clock: list[float]) -> None:
    readiness = Readiness()
    readiness.ready(start_seconds=4.5)
    readiness.check()
    readiness.not_ready("tritonserver ended with signal 9")
    with pytest.raises(NotReady, match="ended with signal 9"):
        readiness.check()
    assert _advised(readiness) == 4.5
    clock[0] += 3
    assert _advised(readiness) == 1.5
    clock[0] += 30  # longer than the last time
    assert _advised(readiness) == 0.5
    readiness.not_ready("it did not start", pause=8.0)
    assert _advised(readiness) == 12.5


def test_a_crash_loop_says_when_it_is_tried_again(clock: list[float]) -> None:
    readiness = Readiness()
    readiness.crash_loop("10 deaths in 60 s", 30.0)
    clock[0] += 12
    assert _advised(readiness) == 18.0


def test_a_model_comes_back_sooner_than_triton(clock: list[float]) -> None:
    readiness = Readiness()
    readiness.ready(start_seconds=4.5)
    assert readiness.again_in() == 1.0
    readiness.reviving("a process ended")
    assert _advised(readiness) == 1.0
    readiness.ready(revival_seconds=0.75)
    assert (readiness.again_in(), readiness.again_in(all_gone=True)) == (0.75, 4.5)
    readiness.not_ready("tritonserver ended with signal 9")
    assert _advised(readiness) == 4.5


def test_a_draining_server_answers_but_tells_balancers_to_go_elsewhere() -> None:
    readiness = Readiness()
    readiness.ready(1)
    readiness.drain()
    readiness.check()
    with pytest.raises(Draining):
        readiness.check_announced()
    readiness.ready(1)
    assert not readiness.is_ready


def test_listeners_hear_of_the_present_state_and_of_each_change() -> None:
    readiness, heard = Readiness(), list[bool]()
    readiness.on_change(heard.append)
    readiness.ready(1)
    readiness.not_ready("gone")
    readiness.ready(1)
    readiness.drain()
    assert heard == [False, True, False, True, False]
