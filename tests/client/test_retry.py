"""The arithmetic of retries."""

from __future__ import annotations

import pytest

from fovea_client.errors import (
    BadImage,
    BadRequest,
    DeadlineExceeded,
    NotReady,
    ServerBusy,
    ServerFailed,
    UnknownModel,
    Unreachable,
)
from fovea_client.retry import Retry


@pytest.mark.parametrize("kind", [Unreachable, ServerBusy, NotReady])
def test_what_was_not_looked_at_is_tried_again(kind: type[Unreachable]) -> None:
    assert Retry().wait(kind("later"), failures=1, remaining=10, draw=0.5) == pytest.approx(0.05)


@pytest.mark.parametrize("kind", [BadImage, BadRequest, UnknownModel, DeadlineExceeded, ServerFailed])
def test_what_would_fail_again_or_too_late_is_not_tried_again(kind: type[BadImage]) -> None:
    assert Retry().wait(kind("no"), failures=1, remaining=10, draw=0.5) is None


def test_the_longest_wait_doubles_up_to_a_limit_and_the_jitter_is_full() -> None:
    retry, busy = Retry(limit=9, first=0.1, most=1.0), ServerBusy("busy")
    assert [retry.wait(busy, n, 10, draw=1.0) for n in range(1, 7)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert [retry.wait(busy, n, 10, draw=0.0) for n in range(1, 7)] == [0.0] * 6


def test_the_wait_that_the_server_names_goes_before_our_own() -> None:
    busy = ServerBusy("busy", retry_after=3.0)
    assert Retry().wait(busy, failures=1, remaining=10, draw=0.5) == 3.0


def test_no_wait_is_longer_than_what_is_left_of_the_budget() -> None:
    assert Retry().wait(ServerBusy("busy", retry_after=3.0), failures=1, remaining=2.9, draw=0.5) is None
    assert Retry().wait(ServerBusy("busy"), failures=1, remaining=0.04, draw=0.5) is None


def test_after_the_last_retry_the_error_is_final() -> None:
    busy = ServerBusy("busy")
    assert Retry(limit=2).wait(busy, failures=2, remaining=10, draw=0.5) is not None
    assert Retry(limit=2).wait(busy, failures=3, remaining=10, draw=0.5) is None
    assert Retry(limit=0).wait(busy, failures=1, remaining=10, draw=0.5) is None
