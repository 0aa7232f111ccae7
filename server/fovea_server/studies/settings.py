"""Where experiments are kept, and what a shadow may cost."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ExperimentSettings:
    """`store` is the URL of a database, "" a SQLite file in the state folder; `shadow_busy` the share of the time that
    copies for candidates may be under way, 0 to 1.

    Whoever comes in that time shares the machine with a copy. Below a share of one in a hundred that leaves the p99 as
    it is.
    """

    store: str = ""
    shadow_busy: float = 0.005

    def of_one(self, processes: int) -> ExperimentSettings:
        """What one of so many gateway processes may do."""
        return replace(self, shadow_busy=self.shadow_busy / processes)
