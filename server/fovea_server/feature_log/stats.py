"""What a log holds, in numbers."""

from __future__ import annotations

from typing import Any

from fovea_server.feature_log import captures, schema
from fovea_server.feature_log.reading import Reader

_ROWS = """
SELECT count(*) AS records, count(embedding) AS embeddings, count(label) AS labelled,
    count(*) FILTER (contradicted) AS contradicted, count(DISTINCT caller) AS callers,
    min(time) AS first, max(time) AS last FROM joined
"""
_OUTCOMES = "SELECT outcome, count(*) AS n FROM records GROUP BY outcome ORDER BY n DESC, outcome"
_FEEDBACK = """
SELECT count(*) AS feedback, count(*) FILTER (id NOT IN (SELECT id FROM records)) AS feedback_without_an_answer
FROM feedback
"""


def count(reader: Reader) -> dict[str, Any]:
    """Rows, labels, files and bytes; `torn_bytes` are of segments that are not compacted yet."""
    (rows,) = reader.query(_ROWS).to_pylist()
    (given,) = reader.query(_FEEDBACK).to_pylist()
    outcomes = {row["outcome"]: row["n"] for row in reader.query(_OUTCOMES).to_pylist()}
    files = [file for kind in schema.BY_KIND for file in reader.lake.files(kind)]
    images = captures.in_lake(reader.lake)
    return {
        **rows,
        "outcomes": outcomes,
        **given,
        "files": len(files),
        "file_bytes": sum(file.size for file in files),
        "captured_images": len(images),
        "captured_bytes": sum(image.size for image in images),
        "torn_bytes": reader.snapshot().torn_bytes,
    }
