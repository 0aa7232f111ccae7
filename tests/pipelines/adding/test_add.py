"""A network becomes a package that has proved itself; what does not pass is said in one sentence and leaves nothing."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests import small_networks
from tests.conftest import Photograph

from fovea_pipelines import precision
from fovea_pipelines.adding import contract_file, draft
from fovea_pipelines.adding.add import Places, add
from fovea_pipelines.adding.wish import Wish
from fovea_pipelines.errors import PipelineError
from fovea_pipelines.package import Direction, ModelPackage, contract_of

LABELS = ("one", "two", "three", "four", "five")
# Random weights amplify what rounding does to 32x32 pixels.
LIMITS = {"logit_drift": 3.0, "embedding_drift": 0.1, "top_1": 0.0, "top_5": 0.0}


@pytest.fixture
def places(repository: Path, tmp_path: Path) -> Places:
    return Places(repository, tmp_path / "state/models")


@pytest.fixture
def wish(package: ModelPackage, tmp_path: Path) -> Wish:
    (tmp_path / "contract.toml").write_text(small_networks.CONTRACT)
    return Wish(
        source=str(small_networks.classifier(tmp_path / "Small Net.onnx")),
        golden=package.golden.image,
        preprocessing=contract_file.read(str(tmp_path / "contract.toml")),
        labels=LABELS,
        limits=LIMITS,
        full_decode=True,
    )


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_a_package_says_where_it_came_from_and_what_was_checked(wish: Wish, places: Places) -> None:
    steps: list[str] = []
    package = add(wish, places, steps.append)
    assert package.name == "small_net"
    assert package.labels == LABELS
    assert package.features == 8
    assert package.table["source"]["file"] == "Small Net.onnx"
    assert package.table["checked"]["batch"] <= 1
    assert steps[:2] == ["reading the network", "checking its answers"]
    for artefact in package.artefacts.values():
        artefact.check()
    assert _names(places.added) == {"small_net", "classify_small_net", package.preprocess}
    assert _names(places.added.parent) == {"models"}


def test_what_a_fraction_of_a_jpeg_would_spoil_is_decoded_in_full(wish: Wish, places: Places) -> None:
    """At 32 pixels a sharp scene at a quarter of its size is beyond the gate's limits."""
    package = add(dataclasses.replace(wish, full_decode=False), places)
    assert not package.contract.scaled_decode
    assert contract_of(places.added / package.preprocess) == package.contract


def test_a_contract_that_says_no_to_fractions_is_not_overruled(wish: Wish, places: Places) -> None:
    assert wish.preprocessing is not None
    said = dataclasses.replace(wish.preprocessing, scaled_decode=False)
    steps: list[str] = []
    package = add(dataclasses.replace(wish, full_decode=False, preprocessing=said), places, steps.append)
    assert not package.contract.scaled_decode
    assert not any("decoded in full" in step for step in steps)


def test_models_of_one_contract_share_its_preprocessing_until_the_last_is_gone(wish: Wish, places: Places) -> None:
    first = add(wish, places)
    second = add(dataclasses.replace(wish, name="second"), places)
    assert second.preprocess == first.preprocess
    draft.remove(places.added, draft.folders_of(first))
    assert _names(places.added) == {"second", "classify_second", second.preprocess}
    draft.remove(places.added, draft.folders_of(second))
    assert _names(places.added) == set()


def test_a_model_with_the_contract_of_a_given_one_shares_that_ones(wish: Wish, places: Places, tmp_path: Path) -> None:
    given = tmp_path / "given"
    theirs = add(wish, Places(places.given, given))
    ours = add(dataclasses.replace(wish, name="ours"), Places(given, places.added))
    assert ours.preprocess == theirs.preprocess
    assert _names(places.added) == {"ours", "classify_ours"}


def test_a_network_that_only_embeds_is_held_to_the_direction_of_its_embedding(wish: Wish, places: Places) -> None:
    package = add(dataclasses.replace(wish, labels=None, embedding_only=True), places)
    assert package.labels == ()
    assert package.features == 5
    assert isinstance(package.golden.expected, Direction)
    assert np.load(package.golden.expected.file).shape == (5,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:4]}, "there are 4 labels for 5 classes"),
        ({"labels": None}, "nothing says what the 5 classes are called"),
        ({"embedding_only": True}, "there are 5 labels for a network that only embeds"),
        ({"preprocessing": None}, r"does not say how its images were preprocessed \(it wants 32x32 pixels\)"),
        ({"name": "preprocess_mine"}, "a model cannot be called 'preprocess_mine'"),
        ({"name": "../outside"}, "a model cannot be called '../outside'"),
        ({"name": "efficientnet_lite0"}, "there is a model efficientnet_lite0 already"),
        ({"weights": Path("some.pth")}, "an ONNX file holds its weights itself"),
        ({"embedding": "nowhere"}, "nowhere"),
        ({"limits": {"sharpness": 1.0}}, "unknown limits: sharpness"),
        ({"limits": {**LIMITS, "pixel_mean": 0.01}}, "the parity gate is not passed: .*pixel_mean is"),
        ({"source": "no_such.onnx"}, "no_such.onnx"),
        ({"source": "elsewhere:resnet50"}, "'elsewhere:resnet50' is no source of networks"),
        ({"source": "resnet50"}, "'resnet50' is no source of networks"),
    ],
)
def test_what_contradicts_itself_is_refused_and_nothing_is_written(
    wish: Wish, places: Places, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(PipelineError, match=message) as raised:
        add(dataclasses.replace(wish, **changes), places)
    assert "\n" not in str(raised.value)
    assert _names(places.added) == set()
    assert _names(places.added.parent) <= {"models"}


def test_a_network_exported_for_one_image_at_a_time_still_answers_alone_and_in_a_batch(
    wish: Wish, places: Places, tmp_path: Path
) -> None:
    fixed = small_networks.classifier(tmp_path / "fixed.onnx", batch=1)
    assert add(dataclasses.replace(wish, source=str(fixed)), places).table["checked"]["batch"] <= 1


def test_a_network_for_other_pixels_is_refused(wish: Wish, places: Places, tmp_path: Path) -> None:
    grey = small_networks.classifier(tmp_path / "grey.onnx", channels=1)
    with pytest.raises(PipelineError, match=r"the network's input is image FLOAT \(n, 1, 32, 32\); supported: "):
        add(dataclasses.replace(wish, source=str(grey)), places)


def test_a_disk_that_cannot_be_written_is_named(wish: Wish, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(PipelineError, match="cannot be written"):
        add(wish, Places(repository, tmp_path / "state/models"))


def test_a_photograph_that_cannot_be_read_is_not_said_to_be_written(
    wish: Wish, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(wish.golden, folder / "one.jpg")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "one.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PipelineError, match=r"one\.jpg cannot be read: Permission denied"):
        add(dataclasses.replace(wish, photographs=(folder,)), places)


def test_what_is_left_of_a_model_keeps_its_name_taken(wish: Wish, places: Places) -> None:
    (places.added / "classify_small_net").mkdir(parents=True)
    with pytest.raises(PipelineError, match="there is a model small_net already"):
        add(wish, places)


def test_every_module_that_triton_imports_is_compiled(wish: Wish, places: Places) -> None:
    package = add(wish, places)
    for folder, modules in {
        package.folder: {"model", "gpu"},
        places.added / package.preprocess: {"model", "gpu"},
    }.items():
        compiled = {path.name.partition(".")[0] for path in (folder / "1/__pycache__").iterdir()}
        assert compiled >= modules


def test_another_package_that_cannot_be_read_shares_nothing(wish: Wish, places: Places) -> None:
    package = add(wish, places)
    for name, content in {"spoilt": "no [TOML", "poor": 'name = "poor"'}.items():
        (places.added / name).mkdir()
        (places.added / name / "model.toml").write_text(content)
    assert draft.folders_of(package) == ["small_net", "classify_small_net", package.preprocess]


def test_of_a_package_that_cannot_be_read_goes_what_is_called_so(places: Places) -> None:
    (places.added / "spoilt").mkdir(parents=True)
    assert draft.folders_named(places.added, "spoilt") == ["spoilt", "classify_spoilt"]


def test_a_remove_that_dies_halfway_leaves_nothing_of_the_name(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "classify_mine"):
        (places.added / name).mkdir(parents=True)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            draft.remove(places.added, ["mine", "classify_mine", "not_there"])
    assert not draft.holds(places.added, "mine")
    assert _names(places.added.parent) != {"models"}
    draft.sweep(places.added.parent)
    assert _names(places.added.parent) == {"models"}


def test_the_golden_image_goes_along(wish: Wish, places: Places, tmp_path: Path) -> None:
    mine = Path(shutil.copyfile(wish.golden, tmp_path / "mine.jpg"))
    package = add(dataclasses.replace(wish, golden=mine), places)
    mine.unlink()
    assert package.golden.image.read_bytes() == wish.golden.read_bytes()


def test_with_photographs_enough_each_precision_of_this_cpu_is_weighed(
    wish: Wish, places: Places, photographs: list[Photograph], tmp_path: Path
) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photo in photographs[:100]:
        (folder / photo.path.name).symlink_to(photo.path)
    # Of other classes than this network's five: the folder is meant for the gate.
    (folder / "labels.csv").write_text("file,class_index\n" + f"{photographs[0].path.name},967\n")
    steps: list[str] = []
    package = add(dataclasses.replace(wish, photographs=(folder,), full_decode=True), places, steps.append)
    assert "has the class_index 967; the model has 5 labels" in steps[-1]
    assert set(package.table["precisions"]) == {each for each in precision.native() if each != "int8"}
    assert package.table["precisions"]["f32"] == {
        "top_1": 1.0,
        "top_5": 1.0,
        "images": 100,
        "against": "agreement with f32",
    }
