"""Send an answer's head together with its body. uvicorn writes them one after the other: two packets, for which the
caller is woken twice."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class OneWrite:
    """The transport of one answer: its head waits for what comes first of its body, or for its end."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if not self._cycle.response_started:  # 100 Continue
            self._transport.write(data)
        elif self._head is None:
            self._head = data
        elif self._head:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Call it when the answer is complete; one to HEAD has no body."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
