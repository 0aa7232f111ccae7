"""The generated corpus, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fovea_pipelines.parity.corpus import Specimen, generated


@pytest.fixture(scope="session")
def specimens() -> list[Specimen]:
    return list(generated())


@pytest.fixture(scope="session")
def of_kind(specimens: list[Specimen]) -> Callable[..., list[Specimen]]:
    """The first specimen of each of these kinds."""

    def first(*kinds: str) -> list[Specimen]:
        return [next(each for each in specimens if kind in each.kinds) for kind in kinds]

    return first
