"""`fovea drift`: whether images and answers are still what they were."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import log_places, terminal, windows

if TYPE_CHECKING:
    from fovea_server.feature_log.reading import Reader
    from fovea_server.studies.drift.comparison import Comparison
    from fovea_server.studies.traffic.sources import Source
    from fovea_server.studies.traffic.windows import Window


def drift(
    feature_log: log_places.Location = "",
    state: terminal.State = None,
    current: Annotated[
        str, typer.Option(metavar="WINDOW", help="What is compared: 24h, 7d, 90min before --as-of, or T1..T2.")
    ] = "1d",
    reference: Annotated[
        str,
        typer.Option(
            metavar="WINDOW|FILE",
            help="With what: 7d before the current window, T1..T2, or a .parquet of `fovea features export`.",
        ),
    ] = "7d",
    model: windows.OneModel = None,
    as_of: log_places.AsOf = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Everything, as JSON.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="A page with histograms and the newest images.")
    ] = None,
    prom_file: Annotated[
        Path | None,
        typer.Option("--prometheus", metavar="FILE", help="Gauges for node_exporter's textfile collector: a .prom."),
    ] = None,
) -> None:
    """Compare the images and answers of two windows of the feature log: has anything drifted?

    Quality, sizes, labels, scores, slices, embeddings, refusals; accuracy where labels are known, and an estimate of it
    where those of the reference are.

    Exits with 0 if nothing drifted, 1 if something did, 2 if there was nothing to compare.
    """
    terminal.need_folders(json_file, html_file, prom_file)
    with log_places.reader(feature_log, state) as reader:
        comparisons = _compared(reader, current, reference, model, log_places.moment(as_of))
        _write(comparisons, json_file, html_file, reader.captured)
    if prom_file:
        _write_gauges(comparisons, prom_file)
    for each in comparisons:
        _print(each)
    if any(each.has_drifted for each in comparisons):
        raise typer.Exit(1)


def _compared(
    reader: Reader, current: str, reference: str, model: str | None, as_of: datetime | None
) -> list[Comparison]:
    from fovea_server.studies.drift import comparison
    from fovea_server.studies.traffic.sources import LoggedWindow

    known_by = as_of or datetime.now(timezone.utc)
    window = windows.read("--current", current, known_by)
    now = LoggedWindow(reader, window, known_by)
    before = _reference(reader, reference, window, known_by)
    found = [comparison.compare(each, before, now) for each in windows.models(now, model)]
    for each in found:
        for option, sample in (("--reference", each.reference), ("--current", each.current)):
            if sample.images < comparison.FEWEST:
                terminal.say_warning(
                    f"{each.model} was asked about {sample.images:,} images from {sample.source}, and "
                    f"{comparison.FEWEST} are needed: name a longer window with {option}"
                )
    if all(min(each.reference.images, each.current.images) < comparison.FEWEST for each in found):
        terminal.fail("there is nothing to compare", code=2)
    return found


def _reference(reader: Reader, named: str, current: Window, as_of: datetime) -> Source:
    from fovea_server.studies.traffic.sources import ExportedFile, LoggedWindow
    from fovea_server.studies.traffic.windows import overlap

    if named.endswith(".parquet") or Path(named).is_file():
        try:
            return ExportedFile(Path(named))
        except (OSError, ValueError) as error:
            terminal.fail(f"--reference: {error}", "name what `fovea features export` wrote", code=2)
    window = windows.read("--reference", named, current.begin)
    if both := overlap(window, current):
        terminal.fail(f"both windows contain {both}", "let --reference end before --current begins", code=2)
    return LoggedWindow(reader, window, as_of)


def _write(
    comparisons: list[Comparison], json_file: Path | None, html_file: Path | None, image: Callable[[str], bytes | None]
) -> None:
    from fovea_server.studies.drift import documents, page

    try:
        if json_file:
            told = [documents.of_comparison(each) for each in comparisons]
            json_file.write_text(json.dumps({"models": told}, indent=1) + "\n", encoding="utf-8")
        if html_file:
            html_file.write_text(page.render(comparisons, image), encoding="utf-8")
    except OSError as error:
        terminal.fail(f"{error.filename or 'the report'} cannot be written: {error.strerror}", code=2)


def _write_gauges(comparisons: list[Comparison], file: Path) -> None:
    """Whole or not at all: the collector reads when it likes."""
    from fovea_server import drafts
    from fovea_server.studies.drift import gauges

    try:
        drafts.write(file, gauges.text(comparisons, time.time()))
    except OSError as error:
        terminal.fail(f"{file} cannot be written: {error.strerror}", code=2)


def _print(comparison: Comparison) -> None:
    from fovea_server.studies.drift import words
    from fovea_server.studies.drift.changes import Level

    styles = {Level.DRIFTED: "bold red", Level.MOVED: "yellow", Level.TOO_FEW: "dim"}
    before, now = comparison.reference, comparison.current
    terminal.say(
        f"{comparison.model}: {now.images:,} images from {now.source}, against {before.images:,} from {before.source}"
    )
    if before.answered_by != now.answered_by:
        terminal.say(f"answered by {', '.join(now.answered_by)}; before by {', '.join(before.answered_by)}")
    table = terminal.table("feature", "", "how far", "p", "before", "now", "", numbers=("how far", "p"))
    for change in words.ordered(comparison.changes):
        level = terminal.cell(change.level.value, styles.get(change.level, ""))
        known = (words.effect(change), words.p_value(change), change.before, change.now, change.why)
        table.add_row(change.feature, level, *known)
    terminal.stdout().print(table)
    terminal.say(words.summary(comparison))
