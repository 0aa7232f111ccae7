"""`fovea features`: what a model could be trained on, as it was known at a moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import log_places, terminal

if TYPE_CHECKING:
    import pyarrow as pa

_OTHERS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".xlsx")
app = typer.Typer(name="features", help="Export what the feature log knows of images.", no_args_is_help=True)


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A Parquet file to write.")],
    feature_log: log_places.Location = "",
    state: terminal.State = None,
    as_of: log_places.AsOf = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="Only answers given since then.")] = None,
    labelled: Annotated[bool, typer.Option("--labelled", help="Only answers whose label was known.")] = False,
) -> None:
    """Write embeddings, quality, predictions and labels, as they were known at a moment, as one Parquet file.

    Whoever exports again as of the same moment gets the same rows, whatever feedback came since.
    """
    if output.suffix.lower() in _OTHERS:
        terminal.fail(f"{output} would be Parquet by another name", f"call it {output.with_suffix('.parquet')}", code=2)
    from fovea_server.feature_log.schema import stored

    with log_places.reader(feature_log, state) as reader:
        only = " WHERE label IS NOT NULL" if labelled else ""
        sql = f"SELECT * FROM joined{only} ORDER BY time, id, model"  # noqa: S608 - our own words
        found = reader.query(sql, log_places.moment(as_of), log_places.moment(since))
    _write(found.cast(stored(found.schema)), output)
    with_label = found.num_rows - found["label"].null_count
    with_embedding = found.num_rows - found["embedding"].null_count
    terminal.say(
        f"{output}: {found.num_rows:,} rows, {with_label:,} with a label, {with_embedding:,} with an embedding"
    )


def _write(table: pa.Table, output: Path) -> None:
    import pyarrow.parquet as pq

    try:
        pq.write_table(table, output, compression="zstd")
    except OSError as error:
        terminal.fail(f"{output} cannot be written: {error}", "name a file in a folder that is there with --output")
