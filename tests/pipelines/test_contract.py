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
    assert table.items() <= contract.to_mapping().items()
    assert Contract.from_mapping(contract.to_mapping()) == contract


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("orientation", "guess"),
        ("colour", "YUV"),
        ("alpha", "over white"),
        ("sixteen_bit", "clip"),
        ("icc", "convert"),
        ("resize", "long_side"),
        ("kernel", "box"),
        ("antialias", 1),
        ("crop", "random"),
        ("layout", "NCHW"),
        ("resize_to", 0),
        ("resize_to", 256.5),
        ("resize_to", None),
        ("output_width", True),
        ("output_height", 5000),
        ("scaled_decode", "yes"),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resize": "exact"}, r"resize_to is 256; with resize = 'exact' it is \[height, width\]"),
        ({"resize": "exact", "resize_to": [224, 256], "crop": "none"}, "resizes to 224x256 and crops nothing"),
        ({"resize": "letterbox", "crop": "none"}, "resize_to says nothing with resize = 'letterbox'"),
        ({"crop": "none"}, "with resize = 'short_side' it must be 'centre' or"),
        ({"kernel": "nearest"}, "antialias is True with the nearest kernel"),
        ({"fill": [0, 0, 300]}, "three whole numbers from 0 to 255"),
        ({"fill": 5}, "contract.fill is 5; it must be three whole numbers"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(
    table: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadContract, match=message):
        Contract.from_mapping({**table, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fill": [0, 0, 0]}, r"contract.fill is \(0, 0, 0\); with resize = 'short_side' nothing is filled"),
        ({"antialias": False, "scaled_decode": True}, "scaled_decode is True without antialias"),
    ],
)
def test_what_says_nothing_is_refused_of_who_writes_it_and_read_where_it_is_served(
    table: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    contract = Contract.from_mapping({**table, **changes})
    with pytest.raises(BadContract, match=message):
        contract.check_that_all_says_something()
    Contract.from_mapping(table).check_that_all_says_something()


def test_a_crop_larger_than_the_resized_image_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(BadContract, match=r"crops 224x300 .* from at least 256x256"):
        Contract.from_mapping({**table, "output_width": 300})
