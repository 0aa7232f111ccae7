"""What a server is before anybody asks it: how soon it is ready, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """One start of `fovea serve` with everything built.

    seconds        from its command to the first 200 of /readyz
    memory_mb      proportional set size of all its processes a second later
    afterwards_mb  the same after all the load of its round
    """

    seconds: float
    memory_mb: float
    afterwards_mb: float

    @property
    def most_memory_mb(self) -> float:
        return max(self.memory_mb, self.afterwards_mb)
