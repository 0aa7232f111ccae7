"""What `benchmarks.gateway` leaves behind: a table for the terminal, one JSON file to commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.processes import GATEWAY, Cost
from fovea_client.load.measured import Load

RATES = (12_000, 36_000)  # requests/s
_NOISY = 5.0  # percent of the cores taken by somebody else, from which on a line is marked


@dataclass(frozen=True)
class Line:
    """One face of a server with so many gateway processes; `spent` are CPU seconds by what a process is."""

    path: str
    workers: int
    load: Load
    cost: Cost
    spent: Mapping[str, float]
    seconds: float  # in which it was spent

    @property
    def gateways(self) -> list[float]:
        """CPU seconds of each gateway process."""
        return [seconds for role, seconds in self.spent.items() if role.startswith(GATEWAY)]

    @property
    def gateway_ms(self) -> float:
        """CPU milliseconds of all gateway processes, a request."""
        return self._ms(sum(self.gateways))

    @property
    def others_ms(self) -> dict[str, float]:
        """The same of each other process."""
        return {role: self._ms(seconds) for role, seconds in self.spent.items() if not role.startswith(GATEWAY)}

    @property
    def busiest(self) -> float:
        """The share of one core that the busiest gateway process took: near 1, it is what limits the line."""
        return max(self.gateways) / self.seconds

    def document(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "workers": self.workers,
            **asdict(self.load),
            "gateway_cpu_ms": round(self.gateway_ms, 3),
            **{f"{role}_cpu_ms": round(value, 3) for role, value in self.others_ms.items()},
            "all_cpu_ms": round(self.gateway_ms + sum(self.others_ms.values()) + self.load.client_cpu_ms, 3),
            "core_share_of_gateways": [round(seconds / self.seconds, 3) for seconds in self.gateways],
            "requests_per_core_second": round(1000 / self.gateway_ms),
            "peak_memory_mb": self.cost.peak_memory_mb,
            "others_percent": self.cost.others_percent,
        }

    def _ms(self, seconds: float) -> float:
        return 1000 * seconds / self.load.served


def cores(lines: Sequence[Line]) -> Iterator[tuple[str, int, float]]:
    """(path, requests/s, cores of gateway): by the least CPU time of a request among the lines of a path, because what
    else runs on the machine only adds to it."""
    for path in dict.fromkeys(line.path for line in lines):
        least = min(line.gateway_ms for line in lines if line.path == path)
        for rate in RATES:
            yield path, rate, rate * least / 1000


def scaling(lines: Sequence[Line]) -> Iterator[tuple[str, int, float, float]]:
    """(path, workers, speed, cost): requests/s and gateway CPU time of a request, as multiples of those of the fewest
    workers; means over all rounds."""
    fewest = min(line.workers for line in lines)
    for path, workers in dict.fromkeys((line.path, line.workers) for line in lines):
        few = [line for line in lines if (line.path, line.workers) == (path, fewest)]
        many = [line for line in lines if (line.path, line.workers) == (path, workers)]
        if workers != fewest and few:
            rates = [mean(line.load.images_per_second for line in each) for each in (many, few)]
            costs = [mean(line.gateway_ms for line in each) for each in (many, few)]
            yield path, workers, rates[0] / rates[1], costs[0] / costs[1]


def write(about: Mapping[str, Any], lines: Sequence[Line], path: Path) -> None:
    """Write the whole file or leave the old one."""
    document = {
        **about,
        "lines": [line.document() for line in lines],
        "scaling": [
            {"path": name, "workers": workers, "speed": round(speed, 2), "gateway_cost": round(cost, 2)}
            for name, workers, speed, cost in scaling(lines)
        ],
        "cores_of_gateway": [
            {"path": name, "requests_per_second": rate, "cores": round(count, 1)} for name, rate, count in cores(lines)
        ],
    }
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}", "name another with --out") from error


def show(lines: Sequence[Line]) -> None:
    """Print the table to stdout."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("path", "workers"):
        table.add_column(heading, no_wrap=True)
    for heading in ("requests/s", "p50 ms", "p99 ms", "errors", "gateway ms", "triton ms", "echo ms", "caller ms",
                    "busiest", "a core"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*_cells(line))
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table)
    console.print(
        "ms: CPU of each kind of process, a request. busiest: of the gateway processes, its share of a core. "
        "a core: requests/s that one core of gateway carries."
    )
    for path, workers, speed, cost in scaling(lines):
        told = f"{path}: {workers} workers answer {speed:.2f} times as many requests/s as the fewest"
        console.print(f"{told}, at {cost:.2f} times the gateway's CPU time a request", highlight=False)
    for path, rate, count in cores(lines):
        console.print(f"{path}: {rate:,} requests/s take {count:.1f} cores of gateway", highlight=False)
    if any(line.cost.others_percent >= _NOISY for line in lines):
        console.print(f"* other programs took {_NOISY:g}% or more of the cores meanwhile.", highlight=False)


def _cells(line: Line) -> list[str]:
    load = line.load
    return [
        line.path + (" *" if line.cost.others_percent >= _NOISY else ""),
        str(line.workers),
        f"{load.images_per_second:.0f}",
        *("-" if value is None else f"{value:.1f}" for value in (load.p50_ms, load.p99_ms)),
        str(sum(load.errors.values())),
        f"{line.gateway_ms:.3f}",
        *(f"{line.others_ms.get(role, 0.0):.3f}" for role in ("tritonserver", "backend")),
        f"{load.client_cpu_ms:.3f}",
        f"{100 * line.busiest:.0f}%",
        f"{1000 / line.gateway_ms:.0f}",
    ]
