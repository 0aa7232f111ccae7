"""What a balancer sees of a server: /readyz, fifty times a second, from a thread of its own."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import httpx

_PERIOD = 0.02


class ReadinessLog:
    """Looks while the `with` block runs; `seen` are moments on CLOCK_MONOTONIC and whether it was ready."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: list[tuple[float, bool]] = []

    def __enter__(self) -> ReadinessLog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def not_ready_after(self, moment: float, until: float) -> tuple[float, float]:
        """Seconds from the moment until it was not ready, and until it was ready again; infinite where it never was."""
        looks = [(at, ready) for at, ready in self.seen if moment <= at < until]
        down = next((at for at, ready in looks if not ready), float("inf"))
        back = next((at for at, ready in looks if ready and at > down), float("inf"))
        return down - moment, back - moment

    def _look(self) -> None:
        with httpx.Client(base_url=self._url, timeout=5) as client:
            while not self._stop.wait(_PERIOD):
                at = time.monotonic()
                try:
                    ready = client.get("/readyz").status_code == 200
                except httpx.HTTPError:
                    ready = False
                self.seen.append((at, ready))
