"""How long something will take, by what was measured last."""

from __future__ import annotations

from fovea_server.request.admission.meter import Window

_SMOOTHING = 0.3  # weight of the newest window
_UNKNOWN = 1.0  # seconds to say where nothing was measured yet


class Forecast:
    """The pace at which Triton works, and the time in it. Before the first measurement nothing takes any time."""

    def __init__(self) -> None:
        self._pace = 0.0  # units a second
        self.mean = 0.0  # seconds in Triton
        self.fastest = 0.0

    def observe(self, window: Window, contended: bool) -> None:
        """While somebody waits the pace is all that Triton can do; otherwise it can do at least as much."""
        if not self._pace:
            self._pace = window.pace
        elif contended or window.pace > self._pace:
            self._pace += _SMOOTHING * (window.pace - self._pace)
        self.mean, self.fastest = window.mean, window.fastest

    def seconds(self, work: float) -> float:
        """Until so many units are done."""
        return max(work, 0.0) / self._pace if self._pace else 0.0

    def retry_after(self, work: float) -> float:
        """The same for whoever is told to come back."""
        return self.seconds(work) if self._pace else _UNKNOWN
