"""The images of a window: each once, however often it was sent, and no more of them than fit into memory.

A caller who sends one image a thousand times says nothing more about what images there are. Where there are too many,
those are taken whose SHA-256 is small, which is the same as by lot, but the same images in every window; the log's
files are sorted by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from fovea_server import errors
from fovea_server.errors import FoveaError
from fovea_server.feature_log import schema, sql
from fovea_server.studies.traffic.sources import Source

MOST_IMAGES = 20_000
MOST_EMBEDDINGS = 4_000

_COLUMNS = """DISTINCT ON (image_sha256) image_sha256, id, image_bytes, image_format, image_width, image_height,
image_orientation, brightness, contrast, sharpness, top_labels[1] AS given, top_scores[1] AS score, entropy, slices,
label, correct"""
_FIRST = "ORDER BY image_sha256, correct IS NULL, time, id"  # the answer whose truth is known, before others
_COUNTS = "count(*) AS answers, approx_count_distinct(image_sha256) AS images"
_ALL = 16**8


_CLIENT_ERRORS = {
    each.reason
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, FoveaError) and each.http < 500 and each.http != 429
}


@dataclass(frozen=True)
class Sample:
    """Of one model in one window.

    answers, images   how many it gave, and to how many distinct images, about where not all are in the sample
    rows              one for each image of the sample
    embeddings        float32 (n, features), of those images whose embedding is kept, with their `digests` and `ids`
    answered_by       what answered, as in "resnet50@2 openvino int8", the most frequent first
    """

    source: str
    answers: int
    images: int
    rows: pa.Table
    embeddings: NDArray[np.float32]
    digests: tuple[str, ...]
    ids: tuple[str, ...]
    answered_by: tuple[str, ...]

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Shape (rows,); NaN where nothing is known."""
        return np.asarray(self.rows[column].to_numpy(zero_copy_only=False), np.float64)

    def pixels(self) -> NDArray[np.float64]:
        """How many each image has, shape (rows,); NaN where that is not known, or none."""
        pixels = self.numbers("image_width") * self.numbers("image_height")
        return np.asarray(np.where(pixels > 0, pixels, np.nan))

    def values(self, column: str) -> list[Any]:
        """None where nothing is known."""
        known: list[Any] = self.rows[column].to_pylist(maps_as_pydicts="lossy")
        return known


@dataclass(frozen=True)
class Ended:
    """`count` requests of which callers said `slices`; the outcome is OK or the reason of the refusal."""

    outcome: str
    slices: Mapping[str, str]
    count: int

    @property
    def is_refusal(self) -> bool:
        """For what it is; not those that came while the server was busy, or down."""
        return self.outcome in _CLIENT_ERRORS


def models(source: Source) -> list[str]:
    """Those that answered, the most asked first."""
    by_answers = "GROUP BY model ORDER BY count(*) DESC, model"
    return [row["model"] for row in source.rows("model", "outcome = 'OK'", by_answers).to_pylist()]


def take(source: Source, model: str) -> Sample:
    """What `source` knows of `model`; of nothing there is an empty sample."""
    vectors = _embedded(source, f"{_answers_of(model)} AND len(embedding) > 0")
    return _sample(source, model, vectors, labelled=False)


def take_labelled(source: Source, model: str) -> Sample:
    """Of its images those whose truth is known, without embeddings."""
    return _sample(source, model, schema.RECORDS.empty_table(), labelled=True)


def _sample(source: Source, model: str, vectors: pa.Table, *, labelled: bool) -> Sample:
    answered = _answers_of(model)
    (counted,) = source.rows(_COUNTS, answered, labelled=labelled).to_pylist()
    some = f"{answered} AND {_some(counted['images'], MOST_IMAGES)}"
    rows = source.rows(_COLUMNS, some, _FIRST, labelled=labelled)
    by = source.rows(
        "concat(model, '@', version, ' ', variant, ' ', precision) AS answered_by",
        answered,
        "GROUP BY ALL ORDER BY count(*) DESC, answered_by",
    )
    return Sample(
        str(source),
        counted["answers"],
        rows.num_rows if counted["images"] <= MOST_IMAGES else counted["images"],
        rows,
        _matrix(vectors["embedding"]),
        tuple(vectors["image_sha256"].to_pylist()),
        tuple(vectors["id"].to_pylist()),
        tuple(each.strip() for each in by["answered_by"].to_pylist()),
    )


def ended(source: Source, model: str) -> list[Ended]:
    """How its requests ended, and those that were refused before a model was known, by what callers said of them."""
    asked = f"model IS NULL OR model = {sql.text(model)}"
    counted = source.rows("outcome, slices, count(*) AS n", asked, "GROUP BY ALL ORDER BY n DESC, outcome")
    return [Ended(row["outcome"], row["slices"] or {}, row["n"]) for row in counted.to_pylist(maps_as_pydicts="lossy")]


def _answers_of(model: str) -> str:
    return f"outcome = 'OK' AND model = {sql.text(model)}"


def _embedded(source: Source, only: str) -> pa.Table:
    (kept,) = source.rows(_COUNTS, only).to_pylist()
    columns = "DISTINCT ON (image_sha256) image_sha256, id, embedding"
    some = f"{only} AND {_some(kept['images'], MOST_EMBEDDINGS)}"
    return _alike(source.rows(columns, some, "ORDER BY image_sha256, time"))


def _some(images: int, most: int) -> str:
    """A condition that about `most` images meet, or all where there are no more."""
    return "true" if images <= most else f"image_sha256 < '{int(most / images * _ALL):08x}'"


def _alike(vectors: pa.Table) -> pa.Table:
    """Those whose embedding is as long as most are: a model may have been changed under its name."""
    lengths = compute.list_value_length(vectors["embedding"])
    usual = compute.mode(lengths)
    return vectors.filter(compute.equal(lengths, usual[0]["mode"])) if len(usual) else vectors


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    flat = np.asarray(column.combine_chunks().flatten(), np.float32)
    return flat.reshape(len(column), -1) if len(column) else np.empty((0, 0), np.float32)
