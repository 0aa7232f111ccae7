"""Where records wait for the writer: bounded, and never waited for. What does not fit is dropped, and counted."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

from fovea_server.errors import FeatureLogUnavailable
from fovea_server.feature_log.frames import Row
from fovea_server.feature_log.note import Note
from fovea_server.feature_log.rows import Record
from fovea_server.metrics import Metrics

_MOST_GIVEN = 65_536  # feedbacks that wait, also those that nobody waits for any more


@dataclass(frozen=True)
class Given:
    """Feedback that somebody waits for; `written` gets a result once it is on the disk."""

    rows: list[Row]
    written: Future[None]


class Queue:
    """One event loop puts in, one thread takes out; neither ever holds a lock for the other."""

    def __init__(self, most: int, most_bytes: int, metrics: Metrics) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._metrics = metrics
        self._waiting: deque[Record | Note] = deque()
        self._given: deque[Given] = deque()
        self._bytes_in = self._bytes_out = 0  # each is changed on one side only
        self._rows_in = self._rows_out = 0  # of feedback
        self.wake = threading.Event()

    def has_room_for(self, note: Note) -> bool:
        """Before anything is made of it; where not, it is counted as dropped."""
        size = self._bytes_in - self._bytes_out + len(note.image)
        has_room = len(self._waiting) < self._most and size <= self._most_bytes
        if not has_room:
            self._metrics.feature_log_dropped("queue_full")
        return has_room

    def offer(self, record: Record | Note) -> None:
        """What there is room for."""
        self._bytes_in += len(record.image)
        self._waiting.append(record)

    def give(self, rows: list[Row]) -> Future[None]:
        """Feedback goes in whatever records wait, and who gives it is told when it is written.

        Raises FeatureLogUnavailable where too much of it waits.
        """
        waiting = self._rows_in - self._rows_out
        if waiting + len(rows) > _MOST_GIVEN:
            raise FeatureLogUnavailable(f"{waiting:,} feedbacks wait for the disk already", retry_after=10.0)
        self._rows_in += len(rows)
        given = Given(rows, Future())
        self._given.append(given)
        self.wake.set()
        return given.written

    def take(self, most: int) -> tuple[list[Record | Note], list[Given]]:
        """What has waited longest, for the writer's thread."""
        records = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes_out += sum(len(record.image) for record in records)
        given = [self._given.popleft() for _ in range(len(self._given))]
        self._rows_out += sum(len(each.rows) for each in given)
        return records, given

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> float | None:
        """When the record that has waited longest was offered, in seconds since 1970."""
        try:
            return self._waiting[0].ended
        except IndexError:
            return None
