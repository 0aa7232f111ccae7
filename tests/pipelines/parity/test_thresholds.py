"""Limits come from the package, and what makes no sense in them is said by name."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from fovea_pipelines.errors import BadPackage
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity.thresholds import Limits, Thresholds


def _thresholds(package: ModelPackage, **parity: Any) -> Thresholds:
    return Thresholds.of(dataclasses.replace(package, table={**package.table, "parity": parity}))


def test_a_package_that_says_nothing_has_limits(package: ModelPackage) -> None:
    table = {name: value for name, value in package.table.items() if name != "parity"}
    thresholds = Thresholds.of(dataclasses.replace(package, table=table))
    assert thresholds.default == Limits()
    assert thresholds.kinds["photographs"].top_1 == 0.995


def test_a_kind_has_the_default_limits_but_for_its_own(package: ModelPackage) -> None:
    thresholds = _thresholds(package, default={"pixel_mean": 2.0}, kinds={"huge": {"pixel_p99": 9.0}})
    assert thresholds.kinds["huge"] == Limits(pixel_mean=2.0, pixel_p99=9.0)
    assert thresholds.exceeded("huge", {"pixel_mean": 1.9, "pixel_p99": 9.0}, 5) == ()
    (exceeded,) = thresholds.exceeded("tiny", {"pixel_mean": 2.0, "pixel_p99": 9.0}, 5)
    assert str(exceeded) == "pixel_p99 is 9, at most 4"


def test_agreement_is_at_least(package: ModelPackage) -> None:
    thresholds = _thresholds(package)
    assert thresholds.exceeded("photographs", {"top_1": 0.995}, 1000) == ()
    (exceeded,) = thresholds.exceeded("photographs", {"top_1": 0.994}, 1000)
    assert str(exceeded) == "top_1 is 0.994, at least 0.995"


def test_one_image_may_differ_unless_all_must_agree(package: ModelPackage) -> None:
    assert _thresholds(package).exceeded("photographs", {"top_1": 0.9}, 10) == ()
    assert _thresholds(package).exceeded("photographs", {"top_1": 0.8}, 10)
    assert _thresholds(package, kinds={"photographs": {"top_1": 1.0}}).exceeded("photographs", {"top_1": 0.9}, 10)


def test_the_sum_of_the_generated_has_limits_only_if_said(package: ModelPackage) -> None:
    assert _thresholds(package).exceeded("generated", {"pixel_mean": 50.0}, 100) == ()
    assert _thresholds(package, kinds={"generated": {}}).exceeded("generated", {"pixel_mean": 50.0}, 100)


@pytest.mark.parametrize(
    ("parity", "said"),
    [
        ({"defaults": {}}, "[parity] has unknown entries: defaults"),
        ({"default": {"mean": 1.0}}, "[parity.default] has unknown limits: mean"),
        ({"kinds": {"huge": {"pixel_mean": "1"}}}, "[parity.kinds.huge] pixel_mean is '1'; it must be a number"),
        ({"default": {"top_1": -0.5}}, "[parity.default] top_1 is -0.5"),
        ({"default": {"top_1": True}}, "[parity.default] top_1 is True"),
        ({"default": {"logit_drift": math.nan}}, "[parity.default] logit_drift is nan"),
        ({"kinds": {"huge": {"pixel_mean": math.inf}}}, "[parity.kinds.huge] pixel_mean is inf; it must be a number"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(package: ModelPackage, parity: dict[str, Any], said: str) -> None:
    with pytest.raises(BadPackage) as caught:
        _thresholds(package, **parity)
    assert said in str(caught.value)
