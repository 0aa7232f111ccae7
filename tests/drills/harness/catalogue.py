"""Which drills there are: every module of tests/drills that has a DRILL."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.drills.harness.drill import Drill

_FOLDER = Path(__file__).parents[1]
# As the table of what is promised has them; a drill that is not named here comes last.
ORDER = (
    *("spike", "deadlines", "cancelled", "backend_killed", "triton_killed", "rolling_restarts", "hot_swaps"),
    *(
        "corpora",
        "hostile_headers",
        "slow_connections",
        "odd_connections",
        "log_full",
        "shadow",
        "soak",
        "access",
        "malformed",
    ),
)


def drills() -> list[Drill]:
    """In the order of the report."""
    names = {path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith(("_", "test_", "conftest"))}
    found = [importlib.import_module(f"tests.drills.{name}").DRILL for name in sorted(names)]
    return sorted(found, key=lambda drill: place(drill.name))


def place(name: str) -> tuple[int, str]:
    """Sorts names of drills as the report has them."""
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)
