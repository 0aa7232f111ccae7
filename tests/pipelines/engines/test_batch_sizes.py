"""A batch is filled up to the next of the few sizes."""

from __future__ import annotations

import pytest

from fovea_pipelines.engines import batch_sizes


@pytest.mark.parametrize(("choice", "waste"), [(batch_sizes.FEW, 2), (batch_sizes.MANY, 1.5)], ids=["few", "many"])
@pytest.mark.parametrize("most", [1, 3, 8, 64, 100])
def test_every_count_fits_and_little_is_wasted(most: int, choice: tuple[int, ...], waste: float) -> None:
    sizes = batch_sizes.up_to(most, choice)
    assert sizes[-1] == most
    assert sorted(set(sizes)) == list(sizes)
    for count in range(1, most + 1):
        filled = batch_sizes.filled_up(count, sizes)
        assert count <= filled <= max(waste * count, count + 1)
