"""The waiting room: compressed images of two classes, within bounds of number, bytes and work.

Interactive requests wait a short time or not at all; batch requests wait as long as their deadline allows, but for an
overload. Of the work that is let in, batch gets one unit in ten while both wait, so it is slowed but never starved. A
full room makes place by turning the newest batch request away; among equals, the newest of the caller who has most.
"""

from __future__ import annotations

from collections.abc import Iterator

from fovea_server.domain import Priority
from fovea_server.request.admission.fair_queue import FairQueue
from fovea_server.request.admission.settings import AdmissionSettings
from fovea_server.request.admission.turn import Turn

_SHARES = {Priority.INTERACTIVE: 0.9, Priority.BATCH: 0.1}
_LOWEST_FIRST = sorted(Priority, reverse=True)


class Room:
    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._queues: dict[Priority, FairQueue[Turn]] = {priority: FairQueue() for priority in Priority}
        self._served = dict.fromkeys(Priority, 0.0)  # units let in, divided by the class's share
        self._count = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._count

    def waiting(self, priority: Priority) -> int:
        return len(self._queues[priority])

    @property
    def work(self) -> float:
        return sum(queue.work for queue in self._queues.values())

    def ahead_of(self, turn: Turn, overloaded: bool) -> float:
        """Units that are likely to be let in before this one, were it to join now.

        While there is an overload the other class takes its whole share; otherwise at most what of it is waiting.
        """
        own = self._queues[turn.priority].ahead_of(turn.caller)
        others = sum(queue.work for priority, queue in self._queues.items() if priority is not turn.priority)
        if overloaded and others:
            return own / _SHARES[turn.priority]
        return own + others * (_SHARES[Priority.INTERACTIVE] if turn.priority else _SHARES[Priority.BATCH])

    def is_too_much(self, turn: Turn, patience: float) -> bool:
        """Whether this one would wait for more units of its class than these."""
        return self._queues[turn.priority].ahead_of(turn.caller) > patience

    def has_place(self, turn: Turn) -> bool:
        return self._count < self._settings.max_waiting and self.bytes + turn.size <= self._settings.max_waiting_bytes

    def victims_for(self, turn: Turn) -> list[Turn]:
        """Who is to leave so that this one, for which there is no place, may come in.

        Nobody where all who might would not be enough, or where that would be no fairer than to refuse it.
        """
        number = self._count + 1 - self._settings.max_waiting
        size = self.bytes + turn.size - self._settings.max_waiting_bytes
        victims = []
        for victim in self._who_might_leave_for(turn):
            victims.append(victim)
            size -= victim.size
            if len(victims) >= number and size <= 0:
                return victims
        return []

    def _who_might_leave_for(self, turn: Turn) -> Iterator[Turn]:
        for priority in _LOWEST_FIRST:
            if priority < turn.priority:
                return
            queue = self._queues[priority]
            own = queue.work_of(turn.caller) + turn.cost
            for newest, work_of_its_caller in queue.newest_of_most_first():
                if priority is turn.priority and work_of_its_caller <= own:
                    break
                yield newest

    def beyond(self, patience: float, highest: Priority) -> Iterator[Turn]:
        """Who of each class up to the highest is too much for the patience, batch first, newest of most first; remove
        each."""
        for priority in _LOWEST_FIRST:
            if priority < highest:
                return
            queue = self._queues[priority]
            while queue.work > patience:
                yield queue.newest_of_most()

    def push(self, turn: Turn) -> None:
        queue = self._queues[turn.priority]
        if not queue:
            # A class that was away has no claim on what it could have had.
            self._served[turn.priority] = max(self._served.values())
        queue.push(turn)
        self._changed(turn, 1)

    def pop(self) -> Turn:
        """The next; there must be one."""
        priority = min((each for each in Priority if self._queues[each]), key=lambda each: self._served[each])
        turn = self._queues[priority].pop()
        self._served[priority] += turn.cost / _SHARES[priority]
        self._changed(turn, -1)
        return turn

    def remove(self, turn: Turn) -> None:
        self._queues[turn.priority].remove(turn)
        self._changed(turn, -1)

    def _changed(self, turn: Turn, count: int) -> None:
        turn.is_waiting = count > 0
        self._count += count
        self.bytes += count * turn.size
