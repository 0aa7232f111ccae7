"""A drill's result: one JSON file each under tests/drills/results, committed with the code it tells of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.drills.harness.figures import Figure

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

DRILLS = ROOT / "tests" / "drills"
RESULTS = DRILLS / "results"
_TRIED = DRILLS / "tried.toml"


@dataclass(frozen=True)
class Result:
    """`machine` is what benchmarks.machine says of it; `capacity` is c and how it was found, where the drill asked."""

    drill: str
    promise: str
    scale: str
    when: str
    seconds: float
    machine: dict[str, Any]
    figures: list[Figure]
    capacity: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Result:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**stored, "figures": [Figure(**figure) for figure in stored["figures"]]})

    def write(self, folder: Path = RESULTS) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.drill}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if not figure.passed]


def tried() -> dict[str, dict[str, str]]:
    """By drill and figure: what was tried where the figure is missed. Only that excuses a figure."""
    return tomllib.loads(_TRIED.read_text(encoding="utf-8")) if _TRIED.is_file() else {}


def unexcused(result: Result) -> list[Figure]:
    excuses = tried().get(result.drill, {})
    return [figure for figure in result.missed() if figure.name not in excuses]
