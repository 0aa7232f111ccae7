"""Ready, not ready, draining: what callers and balancers are told in each."""

from __future__ import annotations

import pytest

from fovea_server.errors import Draining, NotReady
from fovea_server.request.readiness import Readiness


def test_a_new_server_is_not_ready_and_says_why() -> None:
    with pytest.raises(NotReady, match="Triton is starting"):
        Readiness().check()


def test_the_wait_that_is_advised_is_how_long_the_start_took() -> None:
    readiness = Readiness()
    readiness.ready(start_seconds=4.5)
    readiness.check()
    readiness.not_ready("tritonserver ended with signal 9")
    with pytest.raises(NotReady, match="ended with signal 9") as raised:
        readiness.check()
    assert raised.value.retry_after == 4.5


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
