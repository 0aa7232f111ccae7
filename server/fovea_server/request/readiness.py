"""The one place that says whether this server is ready, not ready (and why), or draining."""

from __future__ import annotations

from collections.abc import Callable

from fovea_server.errors import Draining, NotReady

Listener = Callable[[bool], None]


class Readiness:
    """Starts as not ready. Draining is for ever."""

    def __init__(self, restart_seconds: float = 2.0) -> None:
        self._reason: str | None = "Triton is starting"
        self._draining = False
        self._restart_seconds = restart_seconds
        self._listeners: list[Listener] = []

    @property
    def is_ready(self) -> bool:
        return self._reason is None and not self._draining

    @property
    def is_draining(self) -> bool:
        return self._draining

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the present state now, and with the new one at every change."""
        self._listeners.append(listener)
        listener(self.is_ready)

    def ready(self, start_seconds: float) -> None:
        """Triton answers rightly; it took `start_seconds` to get there, which is what a restart would take."""
        self._restart_seconds = start_seconds
        self._set(None)

    def not_ready(self, reason: str) -> None:
        self._set(reason)

    def drain(self) -> None:
        """Tell balancers to send nothing more; what comes all the same is still answered."""
        self._draining = True
        self._tell()

    def check(self) -> None:
        """Raise NotReady unless Triton can answer."""
        if self._reason is not None:
            raise NotReady(self._reason, retry_after=self._restart_seconds)

    def check_announced(self) -> None:
        """Raise NotReady or Draining unless balancers should send requests here."""
        if self._draining:
            raise Draining("the server is stopping; send this to another one", retry_after=self._restart_seconds)
        self.check()

    def _set(self, reason: str | None) -> None:
        self._reason = reason
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self.is_ready)
