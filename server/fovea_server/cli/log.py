"""`fovea log`: ask the feature log, follow it, count what is in it, forget a caller."""

from __future__ import annotations

import enum
import io
import json
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fovea_server.cli import log_places, terminal

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(name="log", help="Query, follow, count and erase what is kept of answers.", no_args_is_help=True)

_LONG = 10  # values of a list that a table shows
_SHOWN = "time, id, outcome, model, top_labels[1] AS best, top_scores[1] AS score, total_ms, slices"


class Form(str, enum.Enum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(help="DuckDB SQL over the tables records, feedback and joined, the two together.")
    ],
    feature_log: log_places.Location = "",
    state: terminal.State = None,
    as_of: log_places.AsOf = None,
    form: Annotated[Form, typer.Option("--format", help="How to print it; json is one object a line.")] = Form.TABLE,
) -> None:
    """Answer a question in SQL, for instance: SELECT slices['device'], avg(correct::INT) FROM joined GROUP BY ALL."""
    with log_places.reader(feature_log, state) as reader:
        found = reader.query(sql, as_of=log_places.moment(as_of))
    _print(found, form)


@app.command()
def tail(
    feature_log: log_places.Location = "",
    state: terminal.State = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last records.", min=0)] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
) -> None:
    """Print the last records, one JSON object a line, oldest first."""
    newest = f"SELECT * FROM (SELECT {_SHOWN} FROM records ORDER BY time DESC LIMIT {lines:d}) ORDER BY time"  # noqa: S608
    began = datetime.now(timezone.utc)
    with log_places.reader(feature_log, state) as reader:
        found = reader.query(newest)
        _print(found, Form.JSON)
        last = found["time"][-1].as_py() if found.num_rows else began
        while follow:
            time.sleep(1)
            later = f"SELECT {_SHOWN} FROM records WHERE time > TIMESTAMPTZ '{last.isoformat()}' ORDER BY time"  # noqa: S608
            found = reader.query(later)
            _print(found, Form.JSON)
            last = found["time"][-1].as_py() if found.num_rows else last


@app.command()
def stats(
    feature_log: log_places.Location = "",
    state: terminal.State = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Count records, labels, contradictions, feedback without an answer, files and bytes."""
    from fovea_server.feature_log import stats as counting

    with log_places.reader(feature_log, state) as reader:
        counted = counting.count(reader)
    if as_json:
        terminal.say_json(counted)
        return
    for name, value in counted.items():
        typer.echo(f"{name.replace('_', ' '):28} {_said(value)}")


@app.command()
def erase(
    caller: Annotated[str, typer.Option(help="The key's public id, as `fovea keys list` shows it.")],
    feature_log: log_places.Location = "",
    state: terminal.State = None,
) -> None:
    """Forget one caller: records, feedback on their answers and by them, and images that only they sent.

    Running servers are asked to close what they write first. Doing it again finds nothing.
    """
    found = log_places.places(feature_log, state)
    from fovea_server.feature_log.callers import Pseudonyms, have_salt
    from fovea_server.feature_log.erasure import erase

    if not caller:
        terminal.fail("--caller is empty", "records without a key are nobody's in particular", code=2)
    if not have_salt(found.state):
        terminal.fail(f"{found.state} has no salt of a feature log", "name the server's state folder with --state")
    try:
        erased = erase(found, Pseudonyms(found.state).of(caller))
    except OSError as error:
        terminal.fail(f"not everything was erased: {error}", "do it again: what is erased stays so")
    typer.echo(
        f"erased {erased.records:,} records, {erased.feedback:,} feedbacks and {erased.images:,} images of {caller}; "
        f"{erased.files:,} files written again"
    )
    if erased.left_open:
        terminal.fail(f"{erased.left_open} segments are still being written", "do it again in a minute")


def _print(found: pa.Table, form: Form) -> None:
    from fovea_server.feature_log import plain

    if form is Form.JSON:
        for row in plain.rows(found):
            terminal.say_json(row)
    elif form is Form.CSV:
        from pyarrow import csv

        sink = io.BytesIO()
        csv.write_csv(_flat(found), sink)
        typer.echo(sink.getvalue().decode(), nl=False)
    else:
        table = terminal.table()
        for name in found.column_names:
            table.add_column(terminal.cell(name))
        for row in plain.rows(found):
            table.add_row(*map(_cell, row.values()))
        terminal.stdout().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list) and len(value) > _LONG:
        return f"[{', '.join(map(str, value[:2]))}, … {len(value):,} values]"
    return "" if value is None else str(value)


def _flat(found: pa.Table) -> pa.Table:
    """Lists and maps, which CSV has not, as JSON."""
    import pyarrow as pa

    for place, field in enumerate(found.schema):
        if pa.types.is_nested(field.type):
            values = found[field.name].to_pylist(maps_as_pydicts="lossy")
            texts = [None if value is None else json.dumps(value, default=str) for value in values]
            found = found.set_column(place, field.name, pa.array(texts, pa.string()))
    return found


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items()) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
