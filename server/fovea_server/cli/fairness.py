"""`fovea fairness`: whether the model is as right for everybody."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import log_places, terminal, windows

if TYPE_CHECKING:
    from fovea_server.feature_log.reading import Reader
    from fovea_server.studies.fairness.gaps import Fairness, Gap
    from fovea_server.studies.proportions import Difference, Share


def fairness(
    feature_log: log_places.Location = "",
    state: terminal.State = None,
    window: Annotated[
        str, typer.Option(metavar="WINDOW", help="The answers of which time: 30d, 24h before --as-of, or T1..T2.")
    ] = "30d",
    model: windows.OneModel = None,
    as_of: log_places.AsOf = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Everything, as JSON.")] = None,
) -> None:
    """Compare each slice of the labelled images with the rest: is somebody answered worse?

    Slices are what callers said with X-Slice, formats, orientations, and the fifths that are darkest, most blurred and
    the like. "alike" compares images of the same true label: what is left where a slice has more of the hard labels.

    Exits with 0 if no slice is worse, 1 if one is, 2 if there was nothing to compare.
    """
    terminal.need_folders(json_file)
    with log_places.reader(feature_log, state) as reader:
        found = _found(reader, window, model, log_places.moment(as_of))
    if json_file:
        _write(found, json_file)
    for each in found:
        _print(each)
    if any(each.worse for each in found):
        raise typer.Exit(1)


def _found(reader: Reader, named: str, model: str | None, as_of: datetime | None) -> list[Fairness]:
    from fovea_server.studies.fairness import gaps
    from fovea_server.studies.traffic import samples
    from fovea_server.studies.traffic.sources import LoggedWindow

    known_by = as_of or datetime.now(timezone.utc)
    source = LoggedWindow(reader, windows.read("--window", named, known_by), known_by)
    asked = windows.models(source, model)
    labelled = {each: samples.take_labelled(source, each) for each in asked}
    found = [gaps.find(each, sample, samples.ended(source, each)) for each, sample in labelled.items() if sample.images]
    if not found:
        terminal.fail(
            f"no answer of {', '.join(asked)} from {source} has a label",
            "name another window with --window, or say what is true with POST /v1/feedback",
            code=2,
        )
    return found


def _write(found: list[Fairness], json_file: Path) -> None:
    from fovea_server.studies.fairness import documents

    told = {"models": [documents.of_fairness(each) for each in found]}
    try:
        json_file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        terminal.fail(f"{json_file} cannot be written: {error.strerror}", code=2)


def _print(fairness: Fairness) -> None:
    terminal.say(
        f"{fairness.model}: {_share(fairness.right)} images whose truth is known are answered rightly, "
        f"from {fairness.sample.source}"
    )
    numbers = ("right", "rest", "difference", "95%", "alike", "p", "surer than right", "refused")
    table = terminal.table("slice", "", *numbers, numbers=numbers)
    styles = {"worse": "bold red", "too few": "dim"}
    for gap in fairness.gaps:
        table.add_row(gap.slice, terminal.cell(gap.level.value, styles.get(gap.level.value, "")), *_cells(gap))
    terminal.stdout().print(table)
    worse = ", ".join(gap.slice for gap in fairness.worse)
    terminal.say(f"answered worse: {worse}" if worse else "no slice is answered worse")


def _cells(gap: Gap) -> tuple[str, ...]:
    found = gap.difference
    return (
        _share(gap.right),
        _share(gap.rest),
        _points(found.estimate),
        f"{_points(found.lower)} to {_points(found.upper)}",
        _alike(gap.alike),
        "" if gap.p_value is None else "<0.001" if gap.p_value < 0.001 else f"{gap.p_value:.3f}",
        _points(gap.surplus),
        _share(gap.refused) if gap.refused else "",
    )


def _share(share: Share) -> str:
    return f"{share.value:.1%} of {share.count:,}" if share.count else ""


def _alike(difference: Difference) -> str:
    if math.isnan(difference.estimate):
        return ""
    return f"{_points(difference.estimate)} ({_points(difference.lower)} to {_points(difference.upper)})"


def _points(value: float) -> str:
    return f"{value * 100:+.1f}"
