"""The thread that writes what was offered: four times a second into the open segment, twice a second onto the disk."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from fovea_server.feature_log import segments
from fovea_server.feature_log.captures import Spooled
from fovea_server.feature_log.frames import frame
from fovea_server.feature_log.note import Note
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.queue import Given, Queue
from fovea_server.feature_log.rows import Record, Rows
from fovea_server.feature_log.segments import OpenSegment
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics

_log = get_logger("feature_log")

_EVERY = 0.25  # seconds between two looks into the queue
_SYNC = 0.5  # seconds that what is written may be only in the system's memory
_AT_ONCE = 256  # records between two writes
_SEGMENT_BYTES, _SEGMENT_SECONDS = 16 << 20, 120.0
_SAY_AGAIN = 60.0  # seconds between two log lines about a disk that stays full


class Writer:
    """Whatever the disk does, nobody waits for it but who gives feedback; what cannot be written is counted."""

    def __init__(
        self, places: Places, settings: FeatureLogSettings, queue: Queue, rows: Rows, metrics: Metrics
    ) -> None:
        self._folder = places.segments
        self._settings = settings
        self._queue = queue
        self._rows = rows
        self._metrics = metrics
        self._captures = Spooled(places.spool, settings.spool_bytes)
        self._open: OpenSegment | None = None
        self._synced = self._said = 0.0
        self._closes = segments.asked_to_close(self._folder)
        self._has_room = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="feature-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what was offered until now, and end. Blocks for as long as the disk needs, at most five seconds."""
        self._stopping = True
        self._queue.wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping:
            self._queue.wake.wait(_EVERY)
            self._queue.wake.clear()
            self._empty()
        self._empty()
        try:
            self._close()
        except OSError as error:
            self._failed(error)

    def _empty(self) -> None:
        """Write all that waits, then look whether the segment is to be synchronised or closed."""
        while True:
            taken, given = self._queue.take(_AT_ONCE)
            if not taken and not given:
                break
            self._write(taken, given)
        try:
            self._look_after_segment()
        except Exception as error:
            self._failed(error)

    def _write(self, taken: list[Record | Note], given: list[Given]) -> None:
        if taken:
            self._write_records(taken)
        for each in given:
            if not each.written.set_running_or_notify_cancel():
                continue  # who gave it went away before it was begun with
            try:
                self._append([(row["received"] / 1e6, frame("feedback", row)) for row in each.rows])
                self._sync()
                each.written.set_result(None)
            except Exception as error:
                self._failed(error)
                each.written.set_exception(error)

    def _write_records(self, taken: list[Record | Note]) -> None:
        if not self._has_room:
            self._metrics.feature_log_dropped("spool_full", len(taken))
            return
        records = [record for each in taken if (record := self._record(each))]
        taken.clear()  # and with it the images that are not kept, however long the disk takes
        framed = [(record.ended, each) for record in records for each in record.frames]
        try:
            self._append(framed)
        except Exception as error:
            self._metrics.feature_log_dropped("not_written", len(records))
            self._failed(error)
            return
        self._metrics.feature_log_written(len(framed), sum(len(each) for _, each in framed))
        self._capture(records)

    def _record(self, taken: Record | Note) -> Record | None:
        if isinstance(taken, Record):
            return taken
        taken.hash()
        return self._rows.try_of(taken)

    def _capture(self, records: list[Record]) -> None:
        for record in records:
            if record.image:
                try:
                    self._captures.keep(record.digest, record.image)
                except OSError as error:
                    self._failed(error)

    def _append(self, framed: list[tuple[float, bytes]]) -> None:
        """Each to a segment of its own day. OSError where the disk takes no more."""
        days: dict[str, list[bytes]] = defaultdict(list)
        for moment, each in framed:
            days[segments.day_of(moment)].append(each)
        for day, frames in days.items():
            if self._open is None or self._open.day != day:
                self._close()
                self._open = OpenSegment(self._folder, day)
            self._open.append(b"".join(frames))

    def _look_after_segment(self) -> None:
        if time.monotonic() - self._synced < _SYNC:
            return
        self._sync()
        asked = segments.asked_to_close(self._folder)
        if asked != self._closes or self._is_full():
            self._closes = asked
            self._close()
        if self._open is None:
            waiting = sum(segment.size for segment in segments.all_of(self._folder))
            self._has_room = waiting < self._settings.spool_bytes

    def _is_full(self) -> bool:
        if self._open is None or not self._open.size:
            return False
        return self._open.size >= _SEGMENT_BYTES or time.monotonic() - self._open.opened >= _SEGMENT_SECONDS

    def _sync(self) -> None:
        if self._open is not None:
            self._open.sync()
        self._synced = time.monotonic()

    def _close(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            try:
                opened.sync()
            finally:
                opened.close()

    def _failed(self, error: Exception) -> None:
        self._metrics.feature_log_failed("write")
        if time.monotonic() - self._said >= _SAY_AGAIN or not self._said:
            self._said = time.monotonic()
            _log.warning("the feature log cannot be written", folder=str(self._folder), reason=str(error))
