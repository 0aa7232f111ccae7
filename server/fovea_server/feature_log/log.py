"""The feature log of one gateway process: what the service notes, the edge's feedback, and the thread that writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from fovea_server.domain import Model, Question
from fovea_server.errors import FeatureLogOff
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.feedback import FeedbackDesk, Recent
from fovea_server.feature_log.lookup import Lookup
from fovea_server.feature_log.note import OK, Note
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.queue import Queue
from fovea_server.feature_log.rows import Rows
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.feature_log.writer import Writer
from fovea_server.metrics import Metrics

# Bytes of an image that is hashed on the event loop as it arrives, 150 us at most, and whose record is encoded there
# once it is answered, about 40 us for each model. Both then find what they read in the processor's caches. The writer's
# thread takes longer for the same: cold memory, objects that live on into the garbage collector's walks, a lock of
# Python's that changes hands.
_MOST_ON_THE_LOOP = 1 << 18


class FeatureLog:
    """`served` are the models in service, whose labels feedback may name."""

    def __init__(
        self, places: Places, settings: FeatureLogSettings, metrics: Metrics, served: Callable[[], Iterable[Model]]
    ) -> None:
        pseudonyms = Pseudonyms(places.state)
        self._queue = Queue(settings.queue_records, settings.queue_bytes, metrics)
        self._recent = Recent()
        self._rows = Rows(settings, pseudonyms, metrics)
        self._writer = Writer(places, settings, self._queue, self._rows, metrics)
        self.feedback = FeedbackDesk(self._queue, pseudonyms, self._recent, served, metrics)
        self.lookup = Lookup(places)
        metrics.watch_feature_log(lambda: len(self._queue), self._lag)

    def start(self) -> None:
        self._writer.start()

    async def stop(self) -> None:
        """Once nothing is answered any more: write what is left."""
        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """The same for whoever may wait for a disk."""
        self._writer.stop()

    def note(self, question: Question) -> Note:
        """A context around the work on the question; at its end a record is offered, never waiting."""
        note = Note(question, self._offer)
        if note.image_bytes <= _MOST_ON_THE_LOOP:
            note.hash()
        return note

    def _offer(self, note: Note) -> None:
        if note.outcome == OK:
            self._recent.add(note.id, tuple(model.identity.name for model in note.models))
        if self._queue.has_room_for(note):
            record = self._rows.try_of(note) if note.digest else note
            if record is not None:
                self._queue.offer(record)

    def _lag(self) -> float:
        """Seconds that the oldest record has waited to be written."""
        oldest = self._queue.oldest
        return 0.0 if oldest is None else max(time.time() - oldest, 0.0)


def there(log: FeatureLog | None) -> FeatureLog:
    """The log; raises FeatureLogOff where this server keeps none."""
    if log is None:
        raise FeatureLogOff("this server keeps no answers: start it with --feature-log FOLDER")
    return log
