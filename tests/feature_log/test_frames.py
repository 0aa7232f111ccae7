from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from fovea_server.feature_log import frames

_WHOLE = b"".join(frames.frame("records", {"id": name}, np.ones(3, "<f2").tobytes()) for name in "abc")


def test_what_is_framed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(_WHOLE + frames.frame("feedback", {"id": "a", "label": "tench"}))
    found = frames.read(path)
    assert [orjson.loads(row.text)["id"] for row in found.rows["records"]] == ["a", "b", "c"]
    assert np.frombuffer(found.rows["records"][0].embedding, "<f2").tolist() == [1, 1, 1]
    assert [orjson.loads(row.text) for row in found.rows["feedback"]] == [{"id": "a", "label": "tench"}]
    assert found.torn_bytes == 0


def test_wherever_a_file_is_cut_off_all_whole_rows_before_are_read(tmp_path: Path) -> None:
    path, one = tmp_path / "segment", len(_WHOLE) // 3
    for length in range(len(_WHOLE)):
        path.write_bytes(_WHOLE[:length])
        found = frames.read(path)
        assert len(found.rows["records"]) == length // one
        assert found.torn_bytes == length % one


@pytest.mark.parametrize("place", [0, 4, 6, 10, 14, 20, 30])
def test_a_damaged_frame_ends_the_reading_and_is_counted(tmp_path: Path, place: int) -> None:
    path, one = tmp_path / "segment", len(_WHOLE) // 3
    damaged = bytearray(_WHOLE)
    damaged[one + place] ^= 0x40
    path.write_bytes(damaged)
    found = frames.read(path)
    assert [orjson.loads(row.text)["id"] for row in found.rows["records"]] == ["a"]
    assert found.torn_bytes == 2 * one


def test_what_would_be_read_as_damage_is_not_framed() -> None:
    with pytest.raises(ValueError, match="larger than 16777216"):
        frames.frame("records", {"id": "x" * (16 << 20)})
