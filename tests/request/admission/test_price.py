"""An image costs what its header says that it will take."""

from __future__ import annotations

import pytest

from fovea_server.domain import ImageFacts
from fovea_server.request.admission import price


def _facts(form: str, width: int, height: int) -> ImageFacts:
    return ImageFacts(form, width, height, orientation=1, bytes=1)


def test_the_reference_photograph_costs_one_and_a_thumbnail_no_less() -> None:
    assert price.units(_facts("jpeg", 500, 375), models=1) == pytest.approx(1.0, abs=0.01)
    assert price.units(_facts("jpeg", 16, 16), models=1) == 1.0


def test_a_photograph_of_twelve_megapixels_costs_several_times_a_thumbnail() -> None:
    assert 4 < price.units(_facts("jpeg", 4000, 3000), models=1) < 7


def test_formats_that_are_decoded_in_full_cost_more() -> None:
    jpeg, webp, png = (price.units(_facts(form, 4000, 3000), models=1) for form in ("jpeg", "webp", "png"))
    assert jpeg < webp < png


def test_each_further_model_costs_its_network_but_no_further_decoding() -> None:
    one, three = (price.units(_facts("jpeg", 500, 375), models) for models in (1, 3))
    assert 1.5 < three / one < 3
