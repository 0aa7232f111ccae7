"""Where records wait for the writer: bounded, and never waited for. What does not fit is dropped, and counted."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

from fovea_server.feature_log.frames import Row
from fovea_server.feature_log.note import Note
from fovea_server.feature_log.rows import Written
from fovea_server.metrics import Metrics


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
        self._notes: deque[Written | Note] = deque()
        self._given: deque[Given] = deque()
        self._bytes_in = self._bytes_out = 0  # each is changed on one side only
        self.wake = threading.Event()

    def offer(self, note: Written | Note) -> None:
        size = len(note.image)
        if len(self._notes) >= self._most or self._bytes_in - self._bytes_out + size > self._most_bytes:
            self._metrics.feature_log_dropped("queue_full")
            return
        self._bytes_in += size
        self._notes.append(note)

    def give(self, rows: list[Row]) -> Future[None]:
        """Feedback goes in whatever else waits, and who gives it is told when it is written."""
        given = Given(rows, Future())
        self._given.append(given)
        self.wake.set()
        return given.written

    def take(self, most: int) -> tuple[list[Written | Note], list[Given]]:
        """What has waited longest, for the writer's thread."""
        notes = [self._notes.popleft() for _ in range(min(most, len(self._notes)))]
        self._bytes_out += sum(len(note.image) for note in notes)
        return notes, [self._given.popleft() for _ in range(len(self._given))]

    def __len__(self) -> int:
        return len(self._notes)

    @property
    def oldest(self) -> float | None:
        """When the note that has waited longest was offered, in seconds since 1970."""
        try:
            return self._notes[0].ended
        except IndexError:
            return None
