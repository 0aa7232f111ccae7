"""Custom events: what callers report of a unit later is counted for the arm that the unit meets."""

from __future__ import annotations

from fovea_server.domain import Exposure
from fovea_server.errors import BadParameter
from fovea_server.request.routing import Routing, digest_of
from fovea_server.studies.tally import Tally

LARGEST = 1e9  # of a value, up or down: sums of its squares stay finite, however many come


class Events:
    def __init__(self, routing: Routing, tally: Tally) -> None:
        self._routing = routing
        self._tally = tally

    def report(self, name: str, unit: str, value: float) -> bool:
        """For every running experiment, each of which knows the unit's arm by its hash alone; whether any counts it.

        Raises BadParameter for a value beyond the largest, which none of them could be read with any more.
        """
        if not abs(value) <= LARGEST:
            raise BadParameter(f"value: {value:g} is not from {-LARGEST:,.0f} to {LARGEST:,.0f}")
        self._tally.seen(name)
        counted = False
        for split in self._routing.plan.splits.values():
            digest = digest_of(split.salt, unit)
            exposure = Exposure(split.experiment, split.arm_at(digest).name, digest.hex(), split.stage)
            counted |= self._tally.event(exposure, name, value)
        return counted
