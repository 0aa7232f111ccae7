"""Callers who wait share the work equally, in the order they came among their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from fovea_server.request.admission.fair_queue import FairQueue


@dataclass(eq=False)
class _Request:
    caller: str
    cost: float = 1.0
    number: int = 0


def _filled(*requests: _Request) -> FairQueue[_Request]:
    queue = FairQueue[_Request]()
    for request in requests:
        queue.push(request)
    return queue


def test_one_caller_is_served_first_come_first_served() -> None:
    queue = _filled(*(_Request("alice", number=number) for number in range(10)))
    assert [queue.pop().number for _ in range(10)] == list(range(10))


def test_who_sends_a_hundred_does_not_delay_who_sends_one() -> None:
    queue = _filled(*(_Request("flood") for _ in range(100)))
    for _ in range(10):
        queue.pop()
    queue.push(_Request("alice"))
    assert "alice" in [queue.pop().caller for _ in range(2)]


def test_shares_are_of_work_not_of_requests() -> None:
    large = [_Request("large", cost=5.0) for _ in range(100)]
    queue = _filled(*large, *(_Request("small") for _ in range(100)))
    served = Counter[str]()
    for _ in range(60):
        request = queue.pop()
        served[request.caller] += int(request.cost)
    assert abs(served["large"] - served["small"]) <= 5


def test_a_caller_who_was_away_has_no_claim_on_what_it_missed() -> None:
    queue = _filled(*(_Request("alice") for _ in range(200)))
    for _ in range(100):
        queue.pop()
    for _ in range(50):
        queue.push(_Request("bob"))
    assert Counter(queue.pop().caller for _ in range(40))["bob"] <= 21


def test_one_at_a_time_is_no_way_to_get_more_than_a_share() -> None:
    queue = _filled(*(_Request(name) for name in ("a", "b", "c") for _ in range(100)))
    queue.push(_Request("sly"))
    served = Counter[str]()
    for _ in range(100):
        request = queue.pop()
        served[request.caller] += 1
        if request.caller == "sly":
            queue.push(_Request("sly"))
    assert served["sly"] <= 26


def test_the_newest_of_the_caller_with_most_work_is_found() -> None:
    queue = _filled(_Request("alice", number=1), _Request("bob", 3.0, 2), _Request("bob", 3.0, 3), _Request("alice"))
    assert queue.newest_of_most().number == 3


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 10))))
def test_who_would_have_to_go_is_told_without_sending_anybody_away(waiting: list[tuple[str, int]]) -> None:
    queue = _filled(*(_Request(caller, cost) for caller, cost in waiting))
    told = list(queue.newest_of_most_first())
    for request, work in told:
        assert queue.newest_of_most() is request
        assert queue.work_of(request.caller) == work
        queue.remove(request)
    assert len(queue) == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(1, 10), st.sampled_from(["push", "pop", "remove"]))))
def test_nothing_is_lost_or_served_twice_whatever_comes_and_goes(steps: list[tuple[str, float, str]]) -> None:
    queue, inside = FairQueue[_Request](), list[_Request]()
    for caller, cost, step in steps:
        if step == "push" or not inside:
            inside.append(_Request(caller, cost))
            queue.push(inside[-1])
        elif step == "remove":
            queue.remove(inside.pop(len(inside) // 2))
        else:
            inside.remove(queue.pop())
        assert len(queue) == len(inside)
        assert abs(queue.work - sum(request.cost for request in inside)) < 1e-6
    assert {id(queue.pop()) for _ in range(len(inside))} == {id(request) for request in inside}
