"""What is kept of versions is read whatever it is, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fovea_server.errors import StartError
from fovea_server.triton.versions import Versions


def test_what_took_over_is_in_service_until_it_is_forgotten(tmp_path: Path) -> None:
    versions = Versions.of(tmp_path)
    assert versions.current("m") is None
    versions.take_over("m", "2", "1")
    assert (versions.current("m"), versions.previous("m")) == ("2", "1")
    versions.forget("m")
    assert versions.current("m") is None


@pytest.mark.parametrize("content", ["{", "[]", '"m"', '{"m": "2"}', '{"m": [2, 1]}'])
def test_what_says_no_versions_is_refused_with_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(StartError, match=r"versions\.json cannot be read") as raised:
        Versions.of(tmp_path).current("m")
    assert raised.value.hint == "remove it; first versions then serve"
