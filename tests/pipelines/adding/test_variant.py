"""The same network in another precision is a model of its own, and stays in that precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from fovea_pipelines import precision
from fovea_pipelines.adding import variant
from fovea_pipelines.adding.add import Places
from fovea_pipelines.errors import BadPackage, MissingArtefact
from fovea_pipelines.package import ModelPackage


def test_a_variant_has_the_same_artefacts_and_a_name_digest_and_precision_of_its_own(
    package: ModelPackage, tmp_path: Path
) -> None:
    places = Places(package.folder.parent, tmp_path / "models")
    made = variant.add(package, "f32", "plain", places)
    assert made == ModelPackage.read(tmp_path / "models/plain")
    assert made.onnx.sha256 == package.onnx.sha256
    made.onnx.check()
    assert (made.name, made.version, made.ensemble, made.degrade_to) == ("plain", "1", "classify_plain", "")
    assert made.digest != package.digest
    assert made.table["variant_of"] == package.digest
    assert (made.labels, made.preprocess, made.golden.expected) == (
        package.labels,
        package.preprocess,
        package.golden.expected,
    )
    for wanted in (precision.AUTO, "int8", "f32"):
        assert precision.choose(made, wanted) == "f32"
    assert precision.allowed(made) == ["f32"]
    assert (tmp_path / "models/classify_plain/config.pbtxt").is_file()
    assert not (tmp_path / "models" / package.preprocess).exists()


@pytest.mark.parametrize(
    ("wanted", "name", "problem"),
    [
        ("f32", "efficientnet_lite0", "there is a model efficientnet_lite0 already"),
        ("f32", "Not a name", "a model cannot be called 'Not a name'"),
        ("f64", "other", "there is no precision 'f64'; choose from int8, bf16, f32"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    package: ModelPackage, tmp_path: Path, wanted: str, name: str, problem: str
) -> None:
    with pytest.raises(BadPackage, match=problem):
        variant.add(package, wanted, name, Places(package.folder.parent, tmp_path / "models"))
    assert not list(tmp_path.rglob("model.toml"))


def test_an_8_bit_variant_of_what_has_no_8_bit_form_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    places = Places(package.folder.parent, tmp_path / "models")
    table = {**package.table, "artefacts": {"onnx": package.table["artefacts"]["onnx"]}}
    without = ModelPackage(package.folder, table, package.digest)
    with pytest.raises(MissingArtefact, match="has no 8-bit form"):
        variant.add(without, "int8", "small", places)
