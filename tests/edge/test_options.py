"""What callers ask for besides the image, where it is odd."""

from __future__ import annotations

import pytest

from fovea_server.edge import options
from fovea_server.errors import BadParameter


def test_models_are_asked_in_their_order() -> None:
    assert options.several_models(["b", "a"]) == ("b", "a")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "one model or more"),
        (["a", ""], "one model or more"),
        (["a", "b", "a"], "names a more than once"),
        (["a"] * 2_000_000, "names 2,000,000 models; at most 64"),  # compared one by one these would take an hour
    ],
)
def test_other_lists_of_models_are_refused(names: list[str], told: str) -> None:
    with pytest.raises(BadParameter, match=told):
        options.several_models(names)
