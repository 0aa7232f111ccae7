"""Whose turn it is among callers who all wait: each gets an equal share of the work, whoever sends most.

Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996). A caller's next request starts,
in virtual time, where its last one finished, or now if the caller was away; the earliest start goes first.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What can stand in line."""

    caller: str
    cost: float


W = TypeVar("W", bound=Waiting)


class _Flow(Generic[W]):
    """One caller's requests, first come first served, and where its last one finished in virtual time."""

    def __init__(self) -> None:
        self.waiting: OrderedDict[W, None] = OrderedDict()
        self.work = 0.0
        self.finish = 0.0
        self.in_line = False


class FairQueue(Generic[W]):
    """Joining, leaving and being next take O(log callers); finding who has most waiting takes O(callers)."""

    def __init__(self) -> None:
        self._tie = itertools.count()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._flows: dict[str, _Flow[W]] = {}
        self._line: list[tuple[float, int, _Flow[W]]] = []  # a heap; a flow whose requests all left may stand in it
        self._now = 0.0  # virtual time: the start of the last request that went
        self._count = 0
        self._callers = 0  # that have something waiting
        self.work = 0.0

    def __len__(self) -> int:
        return self._count

    def work_of(self, caller: str) -> float:
        flow = self._flows.get(caller)
        return flow.work if flow else 0.0

    def ahead_of(self, caller: str) -> float:
        """Units that are likely to go before a request with which this caller joins now."""
        return min(self.work, self.work_of(caller) * self._callers)

    def push(self, request: W) -> None:
        flow = self._flows.setdefault(request.caller, _Flow())
        self._callers += not flow.waiting
        flow.waiting[request] = None
        flow.work += request.cost
        self.work += request.cost
        self._count += 1
        if not flow.in_line:
            self._stand_in_line(flow, max(self._now, flow.finish))

    def pop(self) -> W:
        """The next; there must be one."""
        while True:
            start, _, flow = heapq.heappop(self._line)
            flow.in_line = False
            if flow.waiting:
                break
        request = next(iter(flow.waiting))
        self._now, flow.finish = start, start + request.cost
        self._take_out(flow, request)
        if flow.waiting:
            self._stand_in_line(flow, flow.finish)
        return request

    def remove(self, request: W) -> None:
        """Out of the middle."""
        self._take_out(self._flows[request.caller], request)

    def newest_of_most(self) -> W:
        """The newest request of the caller who has most work waiting; there must be one."""
        flow = max(self._flows.values(), key=lambda flow: flow.work)
        return next(reversed(flow.waiting))

    def newest_of_most_first(self) -> Iterator[tuple[W, float]]:
        """Who `newest_of_most` would be, one after the other, were each taken out; with its caller's work until then.

        The queue must not change meanwhile.
        """
        flows = (flow for flow in self._flows.values() if flow.waiting)
        line = [(-flow.work, place, reversed(flow.waiting)) for place, flow in enumerate(flows)]
        heapq.heapify(line)
        while line:
            less, place, newest_first = line[0]
            request = next(newest_first, None)
            if request is None:
                heapq.heappop(line)
                continue
            yield request, -less
            heapq.heapreplace(line, (less + request.cost, place, newest_first))

    def _stand_in_line(self, flow: _Flow[W], start: float) -> None:
        heapq.heappush(self._line, (start, next(self._tie), flow))
        flow.in_line = True

    def _take_out(self, flow: _Flow[W], request: W) -> None:
        del flow.waiting[request]
        flow.work = flow.work - request.cost if flow.waiting else 0.0
        self._callers -= not flow.waiting
        self.work -= request.cost
        self._count -= 1
        if not self._count:
            self._begin_anew()  # nobody is owed anything any more
