"""What Triton's DALI backend is given can be defined without a GPU, and refuses what it does not do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fovea_pipelines import dali_graph
from fovea_pipelines.dali_backend import autoserialized
from fovea_pipelines.errors import BadContract
from fovea_pipelines.package import ModelPackage


def test_the_module_in_the_repository_finds_its_contract(repository: Path) -> None:
    assert callable(autoserialized(str(repository / "preprocess_224/1/dali.py")))


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"colour": "BGR"}, "colour"),
        ({"crop": "centre_down"}, "crop"),
        ({"resize": "letterbox", "resize_to": None, "crop": "none"}, "resize"),
    ],
)
def test_a_contract_it_does_not_do_is_refused_by_name(
    package: ModelPackage, changes: dict[str, Any], setting: str
) -> None:
    contract = dataclasses.replace(package.contract, **changes)
    with pytest.raises(BadContract, match=rf"contract\.{setting} is"):
        dali_graph.upright(contract, encoded=None)
