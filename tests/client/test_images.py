"""Which images a path means, and how much of one is read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from fovea_client import BadImage, images
from fovea_server.request.gate import GateSettings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/c.webp", "deep/deeper/d.Jpeg", "deep/e.bmp", "empty/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_means_the_images_anywhere_in_it_in_order(folder: Path) -> None:
    assert images.find(".") == ["./a.PNG", "./b.jpg", "./deep/c.webp", "./deep/deeper/d.Jpeg", "./deep/e.bmp"]


def test_what_only_some_servers_take_counts_unless_others_are_wanted(folder: Path) -> None:
    for name in ("deep/f.gif", "deep/g.HEIC"):
        (folder / name).write_bytes(b"x")
    assert images.find("deep")[-2:] == ["deep/f.gif", "deep/g.HEIC"]
    assert images.find("deep", images.ALWAYS_SERVED)[-1] == "deep/e.bmp"


def test_a_file_means_itself_whatever_its_name(folder: Path) -> None:
    assert images.find("notes.txt") == ["notes.txt"]


def test_a_glob_means_what_the_shell_would_have_made_of_it(folder: Path) -> None:
    assert images.find("*.jpg") == ["b.jpg"]
    assert images.find("[ab].*") == ["a.PNG", "b.jpg"]
    assert images.find("dee*") == images.find("deep")


def test_each_image_of_a_recursive_glob_comes_once(folder: Path) -> None:
    found = images.find("deep/**")
    assert sorted(os.path.normpath(path) for path in found) == ["deep/c.webp", "deep/deeper/d.Jpeg", "deep/e.bmp"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(folder: Path) -> None:
    (folder / "[1].jpg").write_bytes(b"x")
    assert images.find("[1].jpg") == ["[1].jpg"]


def test_a_folder_without_images_means_none(folder: Path) -> None:
    assert images.find("empty") == []


@pytest.mark.parametrize("path", ["nothing.jpg", "*.tiff"])
def test_what_is_not_there_is_named(folder: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such file, folder or glob"):
        images.find(path)


def test_what_is_hidden_or_a_pipe_is_no_image_of_a_folder(folder: Path) -> None:
    (folder / "deep/.f.jpg").write_bytes(b"x")
    os.mkfifo(folder / "deep/g.jpg")
    (folder / "deep/h.jpg").symlink_to("nowhere")
    assert images.find("deep") == ["deep/c.webp", "deep/deeper/d.Jpeg", "deep/e.bmp", "deep/h.jpg"]


def test_as_much_is_read_as_a_server_takes(tmp_path: Path) -> None:
    assert GateSettings().max_bytes == images.MOST_BYTES
    most = tmp_path / "most.jpg"
    most.write_bytes(bytes(images.MOST_BYTES))
    assert len(images.read(most)) == images.MOST_BYTES
    os.truncate(most, 3_000_000_000)  # of which the disk holds next to nothing
    for more, said in (
        (most, "has 3,000,000,000 bytes"),
        ("/dev/zero", "has more"),
        (bytes(20_000_001), "has 20,000,001 bytes"),
    ):
        with pytest.raises(BadImage, match=said) as raised:
            images.read(more)
        assert raised.value.reason == "TOO_MANY_BYTES"


def test_a_stream_that_does_not_end_is_not_read_to_its_end() -> None:
    stream = io.BytesIO(bytes(3 * images.MOST_BYTES))
    with pytest.raises(BadImage, match="what comes has more"):
        images.read_stream(stream, "what comes")
    assert stream.tell() == images.MOST_BYTES + 1


def test_an_array_is_as_large_as_its_bytes_not_its_rows() -> None:
    rows = memoryview(bytes(2 * images.MOST_BYTES)).cast("B", (2, images.MOST_BYTES))
    with pytest.raises(BadImage, match="the image has 40,000,000 bytes"):
        images.read(rows)
