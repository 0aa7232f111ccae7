"""How the measures of a row are headed and written, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator

from fovea_pipelines.parity.tally import Row

# Measure: heading, and format.
COLUMNS = {
    "pixel_mean": ("mean", "{:.2f}"),
    "pixel_p99": ("99%", "{:.0f}"),
    "pixel_max": ("max", "{:.0f}"),
    "embedding_drift": ("embedding", "{:.3f}"),
    "logit_drift": ("logits", "{:.2f}"),
    "top_1": ("top-1", "{:.1%}"),
    "top_5": ("top-5", "{:.1%}"),
    "refusals": ("refused", "{:.1%}"),
}


def cells(row: Row) -> Iterator[tuple[str, str]]:
    """Each measure's name and how its value is written, a dash where there is none."""
    for measure, (_, form) in COLUMNS.items():
        if measure == "refusals":
            yield measure, _refusals(row)
        else:
            yield measure, _written(getattr(row, measure), form)


def _written(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value).replace("100.0%", "100%")


def _refusals(row: Row) -> str:
    """How many the executor alone refuses, and how many the reference alone."""
    if not row.executor_refused and not row.reference_refused:
        return "-"
    return f"{row.executor_refused} / {row.reference_refused}"
