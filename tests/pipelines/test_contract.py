"""The contract refuses by name what no executor does."""

from __future__ import annotations

from typing import Any

import pytest

from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadContract
from fovea_pipelines.package import ModelPackage


@pytest.fixture
def table(package: ModelPackage) -> dict[str, Any]:
    return dict(package.table["contract"])


def test_a_contract_survives_the_way_there_and_back(table: dict[str, Any]) -> None:
    contract = Contract.from_mapping(table)
    assert contract.to_mapping() == table
    assert Contract.from_mapping(contract.to_mapping()) == contract


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("orientation", "ignore"),
        ("colour", "BGR"),
        ("resize", "exact"),
        ("kernel", "lanczos"),
        ("antialias", False),
        ("crop", "random"),
        ("layout", "NCHW"),
        ("resize_to", 0),
        ("resize_to", 256.5),
        ("output_width", True),
        ("output_height", 5000),
    ],
)
def test_an_unsupported_setting_is_refused_by_name(table: dict[str, Any], setting: str, value: object) -> None:
    with pytest.raises(BadContract, match=rf"contract\.{setting} is {value!r}"):
        Contract.from_mapping({**table, setting: value})


def test_an_unknown_and_a_missing_setting_are_named(table: dict[str, Any]) -> None:
    with pytest.raises(BadContract, match="unknown settings: gamma"):
        Contract.from_mapping({**table, "gamma": 2.2})
    del table["kernel"]
    with pytest.raises(BadContract, match="lacks: kernel"):
        Contract.from_mapping(table)


def test_a_crop_larger_than_the_resized_image_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(BadContract, match="crops 300x224 from a short side of 256"):
        Contract.from_mapping({**table, "output_width": 300})
