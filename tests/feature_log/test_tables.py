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


@pytest.mark.parametrize(
    "odd",
    [
        Framed(b"", b""),
        Framed(b"  ", b""),
        Framed(b"3", b""),
        Framed(orjson.dumps([record("odd")]), b""),
        Framed(orjson.dumps(record("odd")) + b"\n" + orjson.dumps(record("even")), b""),
        Framed(orjson.dumps(record("odd")).replace(b"odd", b"\xff"), b""),
        _framed(record("odd"), b"abc"),
    ],
    ids=["empty", "blank", "number", "list", "two objects", "no UTF-8", "half a number"],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_frame_that_is_no_row_is_left_out_and_embeddings_stay_with_their_rows(odd: Framed, times: int) -> None:
    rows = [_framed(record(str(number)), np.full(2, number, "<f2").tobytes()) for number in range(6)]
    for place in (1, 4)[:times]:
        rows[place] = odd
    found = [row for table in tables.of_rows("records", rows) for row in table.select(["id", "embedding"]).to_pylist()]
    kept = [number for number in range(6) if number not in (1, 4)[:times]]
    assert found == [{"id": str(number), "embedding": [number, number]} for number in kept]


def test_frames_with_more_and_with_fewer_rows_than_one_do_not_make_up_for_each_other() -> None:
    twice = Framed(orjson.dumps(record("b")) + orjson.dumps(record("c")), b"")
    assert [len(table) for table in tables.of_rows("feedback", [_framed(record("a")), twice, Framed(b"", b"")])] == [1]


def test_text_of_any_language_and_numbers_of_any_size_come_back_as_they_were() -> None:
    said = 'Käse\n"東京"\u2028\x00\U0001f9c0 \\'
    (table,) = tables.of_rows("records", [_framed(record(said, image_bytes=2**62, total_ms=1e-30))])
    (row,) = table.select(["id", "image_bytes", "total_ms"]).to_pylist()
    assert row == {"id": said, "image_bytes": 2**62, "total_ms": pytest.approx(1e-30)}
