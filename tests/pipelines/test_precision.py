"""The precision served is the fastest that the CPU is good at and the model keeps its accuracy in."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fovea_pipelines import precision
from fovea_pipelines.errors import BadPackage, MissingArtefact
from fovea_pipelines.package import ModelPackage

OLD = frozenset(("avx2",))
BFLOAT = frozenset(("avx2", "avx512_bf16"))
ALL = frozenset(("avx2", "avx512_bf16", "avx512_vnni"))


def _package(package: ModelPackage, **top_1: float) -> ModelPackage:
    table: dict[str, Any] = {**package.table, "precisions": {name: {"top_1": value} for name, value in top_1.items()}}
    return dataclasses.replace(package, table=table)


@pytest.mark.parametrize(
    ("flags", "top_1", "chosen"),
    [
        (ALL, {"f32": 0.9, "bf16": 0.9, "int8": 0.895}, "int8"),
        (ALL, {"f32": 0.898, "bf16": 0.9, "int8": 0.888}, "int8"),  # a point, but for what floats make of it
        (ALL, {"f32": 0.9, "bf16": 0.9, "int8": 0.889}, "bf16"),
        (ALL, {"f32": 0.9, "bf16": 0.8, "int8": 0.8}, "f32"),
        (BFLOAT, {"f32": 0.9, "bf16": 0.9, "int8": 0.9}, "bf16"),
        (OLD, {"f32": 0.9, "bf16": 0.9, "int8": 0.9}, "f32"),
        (ALL, {}, "f32"),  # what was not measured is not allowed
    ],
)
def test_auto_is_the_fastest_that_is_native_and_loses_a_point_at_most(
    package: ModelPackage, flags: frozenset[str], top_1: dict[str, float], chosen: str
) -> None:
    assert precision.choose(_package(package, **top_1), "auto", flags) == chosen


def test_what_is_asked_for_is_served_whatever_it_loses(package: ModelPackage) -> None:
    assert precision.choose(_package(package, f32=0.9, int8=0.1), "int8", OLD) == "int8"
    assert precision.choose(package, "f32", ALL) == "f32"


def test_what_cannot_be_is_refused_in_words(package: ModelPackage) -> None:
    with pytest.raises(BadPackage, match=r"this CPU does not compute in bf16 \(none of amx_bf16, avx512_bf16\)"):
        precision.choose(package, "bf16", OLD)
    with pytest.raises(BadPackage, match="there is no precision 'f8'; choose from auto, int8, bf16, f32"):
        precision.choose(package, "f8", ALL)
    table = {**package.table, "artefacts": {"onnx": package.table["artefacts"]["onnx"]}}
    with pytest.raises(MissingArtefact, match="has no 8-bit form; --precision auto serves it in another") as raised:
        precision.choose(dataclasses.replace(package, table=table), "int8", ALL)
    assert raised.value.hint == "fovea models build efficientnet_lite0 --precision int8 --images FOLDER"


def test_the_accuracy_of_the_default_model_allows_its_8_bit_form(package: ModelPackage) -> None:
    assert package.accuracy["f32"] - package.accuracy["int8"] <= 0.01
    assert precision.choose(package, "auto", ALL) == "int8"


def test_bfloat_runs_the_graph_of_floats_and_8_bits_their_own(package: ModelPackage) -> None:
    assert precision.artefact_of(package, "bf16") == precision.artefact_of(package, "f32") == package.onnx.path
    assert precision.artefact_of(package, "int8") == package.artefacts["int8"].path
