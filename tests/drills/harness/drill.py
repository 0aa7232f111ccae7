"""What a drill is: a name, the promise it tests, and a function from a bench to figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tests.drills.harness.figures import Figure

if TYPE_CHECKING:
    from tests.drills.harness.bench import Bench

_T = TypeVar("_T")


@dataclass(frozen=True)
class Scale:
    """How much of a drill is run. `bound` is the p99 in seconds that a rate must meet to count as goodput."""

    name: str
    bound: float
    probe: float  # seconds that one rate is tried while c is sought
    probes: int  # rates that are tried
    share: float = 1.0  # of what was found that counts as c

    def pick(self, full: _T, short: _T, long: _T | None = None) -> _T:
        """The value for this scale; the long form is the full one unless it is given."""
        if self.name == "short":
            return short
        return full if self.name == "full" or long is None else long


FULL = Scale("full", bound=0.1, probe=8, probes=7)
LONG = Scale("long", bound=0.1, probe=5, probes=5)
# Continuous integration shares its machine, so its bound is generous: it needs a rate that the server can hold, also
# when others come.
SHORT = Scale("short", bound=0.4, probe=2, probes=3, share=0.4)
SCALES = {scale.name: scale for scale in (FULL, LONG, SHORT)}


@dataclass(frozen=True)
class Drill:
    """`options` are for `fovea serve`; a drill that `hurts` its server, or has options, gets one of its own.

    `twin` is the test that continuous integration runs instead of the short form, where there is one.
    `seconds` is how long the full form may take, with starting and stopping; the runner ends it then.
    """

    name: str
    promise: str
    run: Callable[[Bench], list[Figure]]
    options: tuple[str, ...] = ()
    hurts: bool = False
    twin: str = ""
    seconds: float = 600
