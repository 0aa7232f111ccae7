"""How much of bodies may be in memory before they are whole, and who has to stop where it is too much.

What waits for Triton has bounds of its own; without this one, 4,096 callers could each leave 20 MB lying for 30 s.
"""

from __future__ import annotations

from typing import Protocol

from fovea_server.errors import Busy, FoveaError

_YOUNG = 2.0  # seconds in which nobody is called slow
_LITTLE = 64 * 1024  # bytes; who holds no more is not worth stopping
_AGAIN = 1.0  # seconds; in about that time those who had to stop are gone


class Receiver(Protocol):
    """A connection whose caller is sending a body, since that moment on the event loop's clock."""

    body_began: float

    def is_read(self) -> bool:
        """Whether we take what comes, or keep the caller waiting."""

    def stop(self, error: FoveaError) -> None: ...


class Receiving:
    """Who sends slowest has to stop first: who sends fast is soon done and takes nothing any more. While nobody is slow
    it is the one that came last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes: dict[Receiver, int] = {}
        self.total = 0

    def came(self, receiver: Receiver, count: int, now: float) -> FoveaError | None:
        """Some of its body. Why it has to stop; None where it may go on, perhaps because another had to stop."""
        self._bytes[receiver] = self._bytes.get(receiver, 0) + count
        self.total += count
        if self.total <= self._most:
            return None
        for each in (*self._slowest_first(now), receiver):
            if self.total <= self._most:
                break
            error = self._too_much()
            self.done(each)
            if each is receiver:
                return error
            each.stop(error)
        return None

    def _slowest_first(self, now: float) -> list[Receiver]:
        slow = [
            each
            for each, count in self._bytes.items()
            if count > _LITTLE and now - each.body_began >= _YOUNG and each.is_read()
        ]
        return sorted(slow, key=lambda each: self._bytes[each] / (now - each.body_began))

    def _too_much(self) -> Busy:
        said = f"{self.total:,} bytes of bodies are being received; at most {self._most:,} may"
        return Busy(said, retry_after=_AGAIN)

    def done(self, receiver: Receiver) -> None:
        """Its body is whole, or nobody wants it any more."""
        self.total -= self._bytes.pop(receiver, 0)
