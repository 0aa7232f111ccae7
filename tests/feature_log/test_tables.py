from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from tests.feature_log.made_up import record

from fovea_server.feature_log import tables
from fovea_server.feature_log.frames import Framed


def _framed(row: dict[str, Any], embedding: bytes = b"") -> Framed:
    return Framed(orjson.dumps(row), embedding)


def test_what_some_rows_have_and_others_do_not_is_null_in_the_others() -> None:
    rows = [
        _framed(record("a")),
        _framed(record("b", slices=[("device", "phone"), ("region", "eu")]), np.arange(3, dtype="<f2").tobytes()),
        _framed(record("c", slices=[], entropy=None)),
        _framed(record("d", slices=[("device", "phone")], unknown={"to": ["this", 1]}), np.ones(1, "<f2").tobytes()),
    ]
    (table,) = tables.of_rows("records", rows)
    found = table.select(["id", "slices", "embedding", "entropy"]).to_pylist()
    assert found == [
        {"id": "a", "slices": None, "embedding": None, "entropy": None},
        {"id": "b", "slices": [("device", "phone"), ("region", "eu")], "embedding": [0, 1, 2], "entropy": None},
        {"id": "c", "slices": [], "embedding": None, "entropy": None},
        {"id": "d", "slices": [("device", "phone")], "embedding": [1], "entropy": None},
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"slices": [["device"]]},
        {"slices": [["device", "phone", "eu"]]},
        {"slices": [["device"], ["phone", "region", "eu"]]},
        {"slices": [None]},
        {"slices": [[None, "phone"]]},
        {"slices": {"device": "phone"}},
        {"time": "now"},
        {"time": 0.5},
        {"top_labels": "tench"},
        {"image_orientation": 300},
        {"captured": 1},
    ],
    ids=str,
)
def test_a_row_of_other_types_is_left_out_and_the_others_keep_their_order(odd: dict[str, Any]) -> None:
    rows = [_framed(record(str(number))) for number in range(9)]
    rows[4] = _framed(record("odd", **odd))
    found = [name for table in tables.of_rows("records", rows) for name in table["id"].to_pylist()]
    assert found == ["0", "1", "2", "3", "5", "6", "7", "8"]


def test_text_of_any_language_and_numbers_of_any_size_come_back_as_they_were() -> None:
    said = 'Käse\n"東京"\u2028\x00\U0001f9c0 \\'
    (table,) = tables.of_rows("records", [_framed(record(said, image_bytes=2**62, total_ms=1e-30))])
    (row,) = table.select(["id", "image_bytes", "total_ms"]).to_pylist()
    assert row == {"id": said, "image_bytes": 2**62, "total_ms": pytest.approx(1e-30)}
