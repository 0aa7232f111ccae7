"""Which photographs are sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import photographs
from benchmarks.errors import NoPhotographs


def test_a_folders_images_are_read_in_the_same_order_every_time(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(bytes([number]))
    (tmp_path / "README.md").write_text("not an image")
    first, second = photographs.read(tmp_path), photographs.read(tmp_path)
    assert first == second
    assert sorted(image.encoded[0] for image in first.images) == list(range(20))


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_photographs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoPhotographs, match=name):
        photographs.read(tmp_path / name)


def test_without_photographs_the_golden_image_goes_alone_and_the_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographs, "BESIDE", tmp_path / "missing")
    found = photographs.read()
    assert (found.source, len(found.images)) == ("the golden image alone", 1)
    assert found.images[0].encoded[:2] == b"\xff\xd8"
