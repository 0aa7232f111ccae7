"""A model is in service once it has proved itself, whatever happens meanwhile, and leaves once nobody uses it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fovea_pipelines.package import ModelPackage
from fovea_server.domain import Deadline, Inference, Model
from fovea_server.errors import ModelRefused, NotReady, UnknownModel
from fovea_server.request.readiness import Readiness
from fovea_server.request.roster import Roster
from fovea_server.triton.repository import Repositories


class Triton:
    """Answers the golden image for what is loaded, rightly unless told otherwise; loading waits for `gate`."""

    def __init__(self) -> None:
        self.loaded: list[str] = ["classify_efficientnet_lite0"]
        self.gate = asyncio.Event()
        self.gate.set()
        self.best = 967
        self.score = 0.94
        self.refuses = ""  # to unload this one

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        if any(model.ensemble not in self.loaded for model in models):
            raise NotReady("unknown model")
        scores = np.zeros(1000, np.float32)
        scores[self.best] = self.score
        return [Inference(scores, np.ones(1280, np.float32), np.zeros(3, np.float32), None, None) for _ in models]

    async def load(self, name: str, timeout: float) -> None:
        await self.gate.wait()
        self.loaded.append(name)

    async def unload(self, name: str, timeout: float) -> None:
        if name == self.refuses:
            raise ModelRefused(f"Triton says of {name}: Deadline Exceeded")
        if name in self.loaded:
            self.loaded.remove(name)


class Desk:
    """A roster over a state folder with one model more, a copy of the default one."""

    def __init__(self, package: ModelPackage, state: Path) -> None:
        folder = state / "models/copy"
        shutil.copytree(package.folder, folder)
        description = (folder / "model.toml").read_text()
        description = description.replace('name = "efficientnet_lite0"', 'name = "copy"')
        (folder / "model.toml").write_text(description.replace("classify_efficientnet_lite0", "classify_copy"))
        self.triton = Triton()
        self.engine = "tensorrt"
        self.changes: list[Collection[str]] = []
        self.readiness = Readiness()
        self.readiness.ready(1)
        repositories = Repositories(package.folder.parent, state, state / "moment")
        self.roster = Roster(
            repositories, [package], self.triton, self.readiness, self._changing, lambda _: self.engine, lambda _: True
        )

    @contextlib.contextmanager
    def _changing(self, leaving: Collection[str]) -> Iterator[None]:
        self.changes.append(leaving)
        yield

    @property
    def names(self) -> list[str]:
        return [model.identity.name for model in self.roster.catalogue]


@pytest.fixture
def desk(package: ModelPackage, tmp_path: Path) -> Desk:
    return Desk(package, tmp_path)


async def test_who_watches_is_not_alarmed_however_long_loading_takes(desk: Desk) -> None:
    desk.triton.gate.clear()
    adding = asyncio.create_task(desk.roster.add("copy"))
    await asyncio.sleep(0.1)
    await desk.roster.verify()
    assert desk.names == ["efficientnet_lite0"]
    desk.triton.gate.set()
    await adding
    await desk.roster.verify()
    assert desk.names == ["efficientnet_lite0", "copy"]
    assert desk.roster.ensembles == ["classify_efficientnet_lite0", "classify_copy", "analyze"]


async def test_nothing_is_loaded_or_unloaded_while_a_process_is_being_revived(desk: Desk) -> None:
    desk.readiness.reviving("preprocess_224 ended")
    adding = asyncio.create_task(desk.roster.add("copy"))
    await asyncio.sleep(0.05)
    assert "classify_copy" not in desk.triton.loaded
    desk.readiness.ready()
    await adding
    desk.readiness.not_ready("tritonserver ended")
    with pytest.raises(NotReady, match="tritonserver ended"):
        await desk.roster.remove("copy")
    assert desk.names == ["efficientnet_lite0", "copy"]


@pytest.mark.parametrize(("best", "score"), [(281, 0.94), (967, 0.2), (967, float("nan"))])
async def test_one_that_answers_its_golden_image_wrongly_is_refused_and_all_is_as_before(
    desk: Desk, best: int, score: float
) -> None:
    desk.triton.best, desk.triton.score = best, score
    with pytest.raises(ModelRefused, match="copy answers its golden image with"):
        await desk.roster.add("copy")
    assert desk.names == ["efficientnet_lite0"]
    assert "classify_copy" not in desk.triton.loaded
    assert desk.roster.ensembles == ["classify_efficientnet_lite0"]


async def test_one_that_is_spoilt_on_the_disk_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "models/copy/1/model.onnx").write_bytes(b"spoilt")
    with pytest.raises(ModelRefused, match=r"model\.onnx has SHA-256"):
        await desk.roster.add("copy")
    assert desk.names == ["efficientnet_lite0"]


async def test_a_model_leaves_once_its_last_caller_is_done(desk: Desk) -> None:
    await desk.roster.add("copy")
    with desk.roster.catalogue.borrow(["copy"]):
        removing = asyncio.create_task(desk.roster.remove("copy"))
        await asyncio.sleep(0.05)
        assert desk.names == ["efficientnet_lite0"]
        assert "classify_copy" in desk.triton.loaded
        with pytest.raises(UnknownModel), desk.roster.catalogue.borrow(["copy"]):
            pass
    await removing
    assert "classify_copy" not in desk.triton.loaded
    # Decoding and networks apart were for both of them; who is left needs neither.
    assert desk.changes == [(), ["classify_copy", "copy", "efficientnet_lite0", "preprocess_224"]]


@pytest.mark.parametrize("refused", ["classify_copy", "copy"])
async def test_a_removal_that_triton_refused_goes_on_when_it_is_tried_again(desk: Desk, refused: str) -> None:
    await desk.roster.add("copy")
    desk.triton.refuses = refused
    for _ in range(2):
        with pytest.raises(ModelRefused, match=f"Triton says of {refused}"):
            await desk.roster.remove("copy")
        assert desk.names == ["efficientnet_lite0"]
        await desk.roster.verify()
    desk.triton.refuses = ""
    await desk.roster.remove("copy")
    assert not {"classify_copy", "copy"} & set(desk.triton.loaded)
    with pytest.raises(UnknownModel):
        await desk.roster.remove("copy")


async def test_one_whose_removal_triton_refused_can_be_added_again(desk: Desk) -> None:
    await desk.roster.add("copy")
    desk.triton.refuses = "copy"
    with pytest.raises(ModelRefused):
        await desk.roster.remove("copy")
    await desk.roster.add("copy")
    assert desk.names == ["efficientnet_lite0", "copy"]
    desk.triton.refuses = ""
    await desk.roster.remove("copy")
    assert desk.names == ["efficientnet_lite0"]


async def test_what_was_given_cannot_be_removed(desk: Desk) -> None:
    with pytest.raises(ModelRefused, match="was not added"):
        await desk.roster.remove("efficientnet_lite0")
    with pytest.raises(UnknownModel):
        await desk.roster.remove("nowhere")


def _second_version(state: Path) -> None:
    """Of `copy`, as `fovea models add --new-version` would leave it."""
    folder = Path(shutil.copytree(state / "models/copy", state / "models/copy@2"))
    description = (folder / "model.toml").read_text().replace('version = "1"', 'version = "2"')
    (folder / "model.toml").write_text(description.replace("classify_copy", "classify_copy@2"))


async def test_a_new_version_is_loaded_beside_the_old_and_takes_over_when_it_is_told_to(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.roster.add("copy")
    _second_version(tmp_path)
    await desk.roster.add("copy@2")
    assert _version(desk, "copy") == "1"
    assert _version(desk, "copy@2") == "2"
    with desk.roster.catalogue.borrow(["copy"]) as (in_flight,):
        await desk.roster.take_over("copy@2")
        assert _version(desk, "copy") == "2"
        assert in_flight.identity.version == "1"
        with pytest.raises(ModelRefused, match="copy@2 is in service"):
            await desk.roster.remove("copy@2")
        leaving = asyncio.create_task(desk.roster.remove("copy"))
        await asyncio.sleep(0.05)
        assert "classify_copy" in desk.triton.loaded
    await leaving
    assert "classify_copy" not in desk.triton.loaded
    assert _version(desk, "copy") == "2"
    assert desk.names == ["efficientnet_lite0", "copy"]


async def test_a_version_that_does_not_prove_itself_leaves_the_old_one_in_service(desk: Desk, tmp_path: Path) -> None:
    await desk.roster.add("copy")
    _second_version(tmp_path)
    desk.triton.best = 281
    with pytest.raises(ModelRefused, match="answers its golden image with"):
        await desk.roster.add("copy@2")
    assert _version(desk, "copy") == "1"
    with pytest.raises(UnknownModel):
        _version(desk, "copy@2")
    with pytest.raises(UnknownModel):
        await desk.roster.take_over("copy@2")
    desk.triton.best = 967
    await desk.roster.verify()


async def test_after_a_start_the_version_serves_that_took_over_last(
    package: ModelPackage, desk: Desk, tmp_path: Path
) -> None:
    _second_version(tmp_path)
    repositories = Repositories(package.folder.parent, tmp_path, tmp_path / "moment")
    repositories.versions.take_over("copy", "2", previous="1")
    readiness = Readiness()
    roster = Roster(
        repositories, repositories.packages(), desk.triton, readiness, desk._changing, lambda _: "", lambda _: True
    )
    with roster.catalogue.borrow(["copy"]) as (model,):
        assert model.identity.version == "2"
    assert {"classify_copy", "classify_copy@2"} <= set(roster.ensembles)
    assert repositories.versions.previous("copy") == "1"


def _version(desk: Desk, name: str) -> str:
    with desk.roster.catalogue.borrow([name]) as (model,):
        return model.identity.version


async def test_what_runs_a_network_is_said_anew_once_it_is_loaded(desk: Desk) -> None:
    assert [model.engine for model in desk.roster.catalogue] == ["tensorrt"]
    desk.engine = "onnxruntime-cuda"  # the plan could not be run
    await desk.roster.add("copy")
    assert [model.engine for model in desk.roster.catalogue] == ["tensorrt", "onnxruntime-cuda"]
    desk.roster.name_engines()
    assert [model.engine for model in desk.roster.catalogue] == ["onnxruntime-cuda"] * 2
    with desk.roster.catalogue.borrow(["efficientnet_lite0"]) as (model,):
        assert model.engine == "onnxruntime-cuda"
