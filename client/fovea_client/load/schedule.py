"""When requests are sent: as answers come (closed loop), or at a constant rate (open loop).

The two tell different things: Schroeder, Wierman, Harchol-Balter, "Open Versus Closed: A Cautionary Tale", NSDI 2006.
In a closed loop a server that stalls is asked less meanwhile, and the stall hardly shows in the percentiles
("coordinated omission", Gil Tene, "How NOT to Measure Latency", 2013; wrk2). In an open loop every request is due at
its moment, and its latency counts from there, whether or not it could be sent then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MOST_CONNECTIONS = 256  # of an open loop; requests that are due beyond them wait here, and the wait counts


@dataclass(frozen=True)
class Closed:
    """`connections` callers, each asking for the next image once it has its answer."""

    connections: int


@dataclass(frozen=True)
class Open:
    """`rate` requests a second, evenly spaced, over as many connections as they need, at most `connections`."""

    rate: float
    connections: int = MOST_CONNECTIONS


Way = Closed | Open


def arrivals(began: float, rate: float, seconds: float) -> Iterator[float]:
    """The moments, in seconds, at which requests are due: from `began`, `rate` a second for `seconds`."""
    return (began + number / rate for number in range(round(rate * seconds)))
