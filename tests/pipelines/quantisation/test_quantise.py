"""Recording an 8-bit form changes its own tables of a model.toml, and nothing else in it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from tests.conftest import Photograph

from fovea_pipelines import toml
from fovea_pipelines.errors import BadPackage, MissingArtefact, PipelineError
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.quantisation.accuracy import BadClasses
from fovea_pipelines.quantisation.calibrate import calibrate
from fovea_pipelines.quantisation.quantise import quantise, recorded
from fovea_pipelines.quantisation.ranges import Ranges

ARTEFACT = {"file": "1/model.int8.onnx", "sha256": "0" * 64, "ranges": "quantisation.npz"}
PRECISIONS = {"int8": {"top_1": 0.5, "top_5": 0.75, "images": 100, "against": "labels"}}


def test_the_tables_are_replaced_and_all_else_stays_with_its_comments(package: ModelPackage) -> None:
    before = (package.folder / "model.toml").read_text()
    after = recorded(before, ARTEFACT, PRECISIONS)
    old, new = toml.loads(before), toml.loads(after)
    assert new["artefacts"]["int8"] == ARTEFACT
    assert new["precisions"] == PRECISIONS
    for table in (old, new):
        del table["precisions"], table["artefacts"]["int8"]
    assert new == old
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in after.splitlines() if line.startswith("#")] == comments
    assert recorded(after, ARTEFACT, PRECISIONS) == after


def test_a_comment_before_the_next_table_is_that_ones() -> None:
    before = (
        'name = "a"\n\n[precisions.f32]\n# measured\ntop_1 = 0.5\n\n'
        "# What is allowed.\n\n# More.\n[parity]\nlimit = 1\n"
        "\n[precisions.bf16]\ntop_1 = 0.5\n[contract]\nside = 3"
    )
    after = recorded(before, ARTEFACT, PRECISIONS)
    kept = (
        'name = "a"\n\n# What is allowed.\n\n# More.\n[parity]\nlimit = 1\n\n[contract]\nside = 3\n\n[artefacts.int8]'
    )
    assert after.startswith(kept)


@pytest.fixture
def folder(package: ModelPackage, tmp_path: Path) -> Path:
    """A copy of the default model's folder that may be changed."""
    return Path(shutil.copytree(package.folder, tmp_path / "model"))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_until_everything_is_measured_nothing_of_the_package_changes(
    folder: Path, photographs: list[Photograph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for photo in photographs[:128]:
        (images / photo.path.name).symlink_to(photo.path)
    # Other ones than those that the package has.
    ranges = Ranges(Ranges.read(folder / "quantisation.npz").tensors, biases={})
    monkeypatch.setattr("fovea_pipelines.quantisation.quantise.calibrate", lambda *_: ranges)

    def fail(models: dict[str, Path], _: object) -> None:
        assert models["int8"].is_file()
        raise PipelineError("the CPU has caught fire")

    before = _contents(folder)
    with monkeypatch.context() as patched:
        patched.setattr("fovea_pipelines.quantisation.quantise.measure", fail)
        with pytest.raises(PipelineError, match="caught fire"):
            quantise(ModelPackage.read(folder), images)
    assert _contents(folder) == before
    monkeypatch.setattr("fovea_pipelines.quantisation.quantise.measure", lambda *_: PRECISIONS)
    assert quantise(ModelPackage.read(folder), images) == PRECISIONS
    after = ModelPackage.read(folder)
    assert after.accuracy == {"int8": 0.5}
    after.artefacts["int8"].check()
    assert set(_contents(folder)) == set(before)


def test_a_network_that_only_embeds_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    description = folder / "model.toml"
    description.write_text(description.read_text().replace('[labels]\nfile = "labels.txt"\ncount = 1000\n', ""))
    with pytest.raises(PipelineError, match="efficientnet_lite0 only embeds"):
        quantise(ModelPackage.read(folder), tmp_path)


def test_a_damaged_graph_is_refused_before_any_image_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "1/model.onnx").write_bytes(b"damaged")
    with pytest.raises(BadPackage, match=r"model\.toml says"):
        quantise(ModelPackage.read(folder), tmp_path)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("one.jpg,1000", r"one\.jpg has the class_index 1000; the model has 1,000 labels, 0 to 999"),
        ("one.jpg,-1", "has the class_index -1"),
        ("one.jpg", "does not say the classes"),
        ("one.jpg,espresso", "does not say the classes"),
    ],
)
def test_classes_that_the_model_does_not_have_are_named(
    package: ModelPackage, tmp_path: Path, said: str, message: str
) -> None:
    (tmp_path / "labels.csv").write_text(f"file,class_index\n{said}\n")
    with pytest.raises(BadClasses, match=message):
        quantise(package, tmp_path)


def test_too_few_images_are_refused_with_their_number(package: ModelPackage, tmp_path: Path, espresso: bytes) -> None:
    (tmp_path / "one.jpg").write_bytes(espresso)
    with pytest.raises(PipelineError, match="has 1 images that can be used; it takes 128 or more"):
        quantise(package, tmp_path)


def test_without_the_quantiser_the_hint_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingArtefact, match="nncf, which is not installed") as raised:
        calibrate(None, [])  # type: ignore[arg-type]
    assert raised.value.hint == "pip install 'fovea-server[quantise]'"
