"""What is in quarantine is refused, kept within bounds, and forgotten when its file is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import small_disk

from fovea_server.errors import Quarantined
from fovea_server.request.quarantine import Quarantine, QuarantineSettings, digest_of


def _with(folder: Path, *images: bytes, settings: QuarantineSettings | None = None) -> Quarantine:
    quarantine = Quarantine(folder, settings)
    for image in images:
        quarantine.keep(image, digest_of(image), ("cats",), "id-1")
    return quarantine


def test_an_image_is_refused_by_its_digest_and_others_of_its_length_are_not(tmp_path: Path) -> None:
    quarantine = _with(tmp_path / "q", b"bad image")
    assert quarantine.might_hold(9)
    assert not quarantine.might_hold(8)
    quarantine.check(digest_of(b"bad_image"))
    with pytest.raises(Quarantined, match=rf"twice \(sha256 {digest_of(b'bad image')}, since 20"):
        quarantine.check(digest_of(b"bad image"))


def test_the_next_server_refuses_it_too_until_it_is_cleared(tmp_path: Path) -> None:
    _with(tmp_path, b"bad image")
    again = Quarantine(tmp_path)
    (kept,) = again.all()
    assert (kept.bytes, kept.models, kept.request_id) == (9, ("cats",), "id-1")
    assert again.path(kept.digest).read_bytes() == b"bad image"
    Quarantine(tmp_path).clear(kept.digest)
    again.look()
    assert not again.all()
    again.check(kept.digest)


@pytest.mark.parametrize("settings", [QuarantineSettings(max_images=2), QuarantineSettings(max_bytes=15)])
def test_the_oldest_makes_room(tmp_path: Path, settings: QuarantineSettings) -> None:
    quarantine = _with(tmp_path, b"first", b"other", b"third", b"fourth", settings=settings)
    assert len(quarantine.all()) == 2
    assert len(list(tmp_path.iterdir())) == 4
    assert digest_of(b"fourth") in {kept.digest for kept in quarantine.all()}


def test_a_folder_that_cannot_be_written_still_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    quarantine = _with(tmp_path / "file" / "q", b"bad image")
    quarantine.look()
    with pytest.raises(Quarantined):
        quarantine.check(digest_of(b"bad image"))


def test_where_the_disk_has_room_for_the_image_alone_it_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    assert small_disk.said_on(tmp_path, "tests.request.quarantine_on_a_full_disk") == {"refused": True, "left": 0}


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    _with(tmp_path / "q", b"bad image")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "q").iterdir()} == {0o600}


def test_what_is_no_description_is_passed_over(tmp_path: Path) -> None:
    for number, text in enumerate(("", "[]", "{}", '{"bytes": "many"}')):
        (tmp_path / f"{number}.json").write_text(text)
    assert not Quarantine(tmp_path).all()
