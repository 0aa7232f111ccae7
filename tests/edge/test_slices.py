from __future__ import annotations

import pytest

from fovea_server.edge import slices
from fovea_server.errors import BadParameter


@pytest.mark.parametrize("text", [None, "", ";", " ; "])
def test_nothing_said_is_no_slice(text: str | None) -> None:
    assert slices.read(text) == ()


def test_names_and_values_are_read_and_sorted() -> None:
    assert slices.read("region=eu; device=Pixel 9/a;") == (("device", "Pixel 9/a"), ("region", "eu"))


@pytest.mark.parametrize(
    "text",
    [
        *("device", "=phone", "Device=phone", "device=", "a=1;a=2", "a=ä", "a=\x00"),
        *(f"a={'x' * 65}", f"{'a' * 33}=x", ";".join(f"a{number}=1" for number in range(9))),
    ],
)
def test_what_is_no_slice_is_refused_by_its_header(text: str) -> None:
    with pytest.raises(BadParameter, match="X-Slice"):
        slices.read(text)
