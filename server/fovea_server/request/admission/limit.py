"""How much may be in Triton at once: found by watching how long it takes.

TCP Vegas (Brakmo, O'Malley, Peterson: "TCP Vegas: New Techniques for Congestion Detection and Avoidance", SIGCOMM
1994), with requests for packets, as in Netflix's concurrency-limits. What is in flight beyond pace x quickest time is
a queue inside Triton: shorter than alpha it leaves a model waiting for work, longer than beta it only makes everybody
wait. Vegas' alpha and beta are a few packets. Triton takes whole batches and works on two at once, so here they are two
batches, both being worked on, and three, of which one is being collected meanwhile. In an overload, where
everybody waits already, they are a batch less each, for a shorter wait.
"""

from __future__ import annotations

import math
from typing import Protocol

from fovea_server.request.admission.meter import Window

_STEP = 1.0  # units a window
_FORGET = 600.0  # seconds after which the quickest time ever seen counts for little


class Limit(Protocol):
    """Units that may be in Triton."""

    units: float

    def observe(self, window: Window, contended: bool, overloaded: bool) -> None: ...


class FixedLimit:
    """As many as the settings say."""

    def __init__(self, units: float) -> None:
        self.units = units

    def observe(self, window: Window, contended: bool, overloaded: bool) -> None:
        return


class VegasLimit:
    """Between one batch and `most` units."""

    def __init__(self, batch: float, most: float) -> None:
        self._batch = batch
        self._least, self._most = min(batch, most), most
        self._quickest = math.inf
        self.units = min(2 * batch, most)

    def observe(self, window: Window, contended: bool, overloaded: bool) -> None:
        """A window is over; only where it was `contended`, somebody had to wait, was the limit put to the test."""
        self._remember(window)
        if not contended:
            return
        queue = window.in_flight - window.pace * self._quickest
        alpha = self._batch * (1 if overloaded else 2)
        if queue < alpha:
            self.units = min(self.units + _STEP, self._most)
        elif queue > alpha + self._batch:
            self.units = max(self.units - _STEP, self._least)

    def _remember(self, window: Window) -> None:
        """The quickest of all windows, which slowly gives way to what is quickest now: machines change."""
        if window.fastest < self._quickest:
            self._quickest = window.fastest
        else:
            self._quickest += (window.fastest - self._quickest) * min(1.0, window.seconds / _FORGET)
