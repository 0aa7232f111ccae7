"""The figures that the documents show are those of the committed results."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from benchmarks.lines import Line, lines
from benchmarks.report import RESULTS
from benchmarks.rows import BARE, GRPC, REST, TRITON, Row
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
PERFORMANCE = (ROOT / "docs/performance.md").read_text()
SERVING, XEON = "serving-2026-11-23-cpu2-amd-epyc", "serving-2026-11-22-cpu2-intel-xeon"
PEERS, LARGE = "peers-2026-11-23-cpu2-amd-epyc", "peers-12mp-2026-11-23-cpu2-amd-epyc"
_PATHS = {"bare": BARE, "Triton": TRITON, "gateway, REST": REST, "gateway, gRPC": GRPC}
_PEERS_HEADING = "server | images/s at 1, 8, 32 callers | p99 ms at 32 | CPU-ms an image at 32 |"
_SERVERS = {
    "FastAPI + Pillow, work on a thread": "FastAPI",
    "FastAPI + Pillow, work on the event loop": "FastAPI, inline",
    "this server, bf16": "Fovea, bf16",
    "this server, int8": "Fovea, int8",
}


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def _lines(name: str) -> list[Line]:
    return lines([Row.from_json(json.dumps(row)) for row in _result(name)["rows"]])


def _table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table whose heading begins so."""
    (_, _, *rows) = page[page.index(f"\n| {heading}") + 1 :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]


def _shows(cell: str, value: float | None) -> bool:
    """Whether the cell is the value, rounded to as many digits as it has."""
    return value is not None and abs(float(cell) - value) <= 0.5 * 10 ** -len(cell.partition(".")[2]) + 1e-3


def test_the_readme_shows_what_was_served() -> None:
    measured = {(line.path, line.concurrency): line for line in _lines(SERVING) if line.share is None}
    path = ""
    for name, callers, *cells in _table(README, "path | callers"):
        path = next((_PATHS[start] for start in _PATHS if name.startswith(start)), path)
        line = measured[path, int(callers or 8)]
        figures = [line.images_per_second, line.p50_ms, line.p99_ms, line.cpu_ms, line.cores]
        against_bare = 1.0 if path == BARE else line.speed_to_bare
        for cell, value in zip(cells, [*figures, against_bare], strict=True):
            assert not cell or _shows(cell, value), (path, callers, cell, value)


def test_the_readme_and_the_page_on_performance_show_the_same_peers() -> None:
    assert _table(README, "server | images/s") == _table(PERFORMANCE, "server | images/s")


@pytest.mark.parametrize(
    ("name", "heading"),
    [(PEERS, f"{_PEERS_HEADING} peak MB |\n"), (LARGE, f"{_PEERS_HEADING}\n")],
)
def test_the_tables_of_peers_are_those_of_the_results(name: str, heading: str) -> None:
    measured = {(line["server"], line["concurrency"]): line for line in _result(name)["lines"]}
    rows = _table(PERFORMANCE, heading)
    assert len(rows) * 3 == len(measured)
    for server, rates, p99, cpu, *peak in rows:
        of = [measured[_SERVERS.get(server, server), callers] for callers in (1, 8, 32)]
        assert all(_shows(cell, line["images_per_second"]) for cell, line in zip(rates.split(", "), of, strict=True))
        assert _shows(p99, of[2]["p99_ms"]), server
        assert _shows(cpu, of[2]["cpu_ms"]), server
        assert not peak or _shows(peak[0], max(line["peak_memory_mb"] for line in of)), server


def test_each_result_on_the_page_has_its_commit_beside_it() -> None:
    for name in re.findall(r"results/([\w-]+)\.json\)", PERFORMANCE):
        after = PERFORMANCE[PERFORMANCE.index(f"{name}.json)") :]
        assert _result(name)["machine"]["commit"] in after[:200], name


def test_the_cores_of_both_machines_are_those_of_the_results() -> None:
    (cells,) = (row for row in _table(PERFORMANCE, "| wanted | AMD EPYC") if row[0].startswith("cores busy"))
    for name, cell in zip((SERVING, XEON), cells[2:], strict=True):
        of = {(line.path, line.concurrency): line.cores for line in _lines(name) if line.share is None}
        shown = zip(cell.split(", "), [of[BARE, 8], *(of[path, 32] for path in (TRITON, REST, GRPC))], strict=True)
        assert all(_shows(figure, cores) for figure, cores in shown)


def test_the_readme_says_how_long_the_starts_took() -> None:
    seconds = [start["seconds"] for name in (SERVING, XEON) for start in _result(name)["starts"]]
    assert "later ones start in two to six seconds" in " ".join(README.split())
    assert 2 <= min(seconds) <= max(seconds) <= 6
