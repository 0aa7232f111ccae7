"""docs/drills.md, made from the committed results: `python -m tests.drills --page` writes it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.conftest import ROOT
from tests.drills.harness.catalogue import ORDER, place
from tests.drills.harness.results import RESULTS, Result, tried

PAGE = ROOT / "docs" / "drills.md"

_HEAD = """# Drills

Each drill starts a server, hurts it, and compares what happened with what was promised. `make drills` runs them all
(`DRILL=spike` one, `SCALE=short` the short forms; continuous integration runs those too, or tests of the same things),
and one alone runs as `python -m tests.drills.spike`. This page is made from the results in `tests/drills/results` by
`python -m tests.drills --page`; nothing on it is written by hand.

`c` is the highest rate at which p99 meets the bound, measured first in the same run. Load is open loop: requests arrive
at a constant rate whether or not those before were answered, and latency counts from when a request was due. The
generator runs on the same machine; what it took of it stands with each drill.
"""


def write() -> None:
    PAGE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The page, from the results that there are."""
    results = sorted((Result.read(path) for path in RESULTS.glob("*.json")), key=lambda result: place(result.drill))
    return "\n".join([_HEAD, *_summary(results), *(line for result in results for line in _chapter(result))])


def _summary(results: list[Result]) -> Iterable[str]:
    yield "| drill | figures reached | when | form |"
    yield "|---|---|---|---|"
    for result in results:
        reached = len(result.figures) - len(result.missed())
        anchor = result.drill.replace("_", "-")
        yield f"| [{_title(result)}](#{anchor}) | {reached} of {len(result.figures)} | {result.when} | {result.scale} |"
    ran = {result.drill for result in results}
    for name in (name for name in ORDER if name not in ran):
        yield f"| {name.replace('_', ' ')} | not run in full on this code yet | | |"
    yield ""


def _chapter(result: Result) -> Iterable[str]:
    yield f"## {_title(result)}\n"
    yield f"{result.promise}\n"
    yield _circumstances(result) + "\n"
    yield "| figure | wanted | measured | |"
    yield "|---|---|---|---|"
    for figure in result.figures:
        yield f"| {figure.name} | {figure.wanted} | {figure.measured} | {'reached' if figure.passed else 'missed'} |"
    yield ""
    excuses = tried().get(result.drill, {})
    for figure in result.missed():
        yield f"Missed, {figure.name}: {excuses.get(figure.name, 'not explained yet.')}\n"
    for name, fact in result.notes.items():
        yield f"- {name.replace('_', ' ')}: {_fact(fact)}"
    if result.notes:
        yield ""


def _circumstances(result: Result) -> str:
    machine = result.machine
    words = [f"{result.when}, {result.scale} form, {result.seconds:.0f} s", f"commit {machine['commit']}"]
    words.append(f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']:.0f} GB")
    if result.capacity:
        found = result.capacity
        bound = f"p99 {found['p99_ms']:.0f} ms, bound {found['bound_ms']:.0f} ms"
        words.append(f"c = {found['rate']:.0f} requests/s ({bound}{'' if found['met'] else ', not met'})")
    return "; ".join(words) + "."


def _fact(fact: object) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{name}: {_fact(value)}" for name, value in fact.items())
    return f"{fact:,.4g}" if isinstance(fact, float) else str(fact)


def _title(result: Result) -> str:
    return result.drill.replace("_", " ")
