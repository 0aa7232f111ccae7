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


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([("models", "a"), ("models", "b")], "models is given more than once"),
        ([("top_k", "1"), ("top_k", "1")], "top_k is given more than once"),
        ([("topk", "1")], "no option 'topk'; there are: embedding, models, top_k"),
    ],
)
def test_options_that_would_be_ignored_are_refused(given: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(BadParameter, match=told):
        options.check_known(given, options.ANALYZE)
