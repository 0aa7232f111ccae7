"""Whether the files that a model runs are there, and are made for this machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fovea_pipelines.engines import plans
from fovea_pipelines.errors import PipelineError
from fovea_pipelines.package import ModelPackage
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository

_FILES = {  # by backend; any of them will do
    "dali": ("model.dali", "dali.py"),
    "onnxruntime": ("model.onnx",),
    "openvino": ("model.xml", "model.onnx"),
    "python": ("model.py",),
    "pytorch": ("model.pt", "model.pt2"),
    "tensorflow": ("model.savedmodel", "model.graphdef"),
    "tensorrt": ("model.plan",),
}
_PLAN_TAG = 0x74727466  # "ftrt", how a serialised TensorRT engine begins


@dataclass(frozen=True)
class Gpu:
    """What plans have to be made for: compute capability such as "9.0", and the installed TensorRT's version."""

    architecture: str
    tensorrt: str | None


def examine(repository: Repository, gpu: Gpu | None) -> Iterator[Finding]:
    for model in repository.models.values():
        if not model.versions:
            yield _no_version(model)
        elif not model.served:
            yield _no_served_version(model)
        elif not model.is_ensemble:
            yield from _missing(model, gpu)
            yield from _unbuilt(model)
            yield from _plans(model, gpu)


def plan_version(plan: Path) -> str | None:
    """The TensorRT version that made a plan, by its header; None where it is no plan of a known form.

    Source: `printPlanVersion` of trtexec (TensorRT, samples/common/sampleEngines.cpp): the tag, serialisation version
    0, and the version's four numbers in bytes 24 to 27.
    """
    with plan.open("rb") as file:
        header = file.read(28)
    if len(header) < 28 or struct.unpack("<II", header[:8]) != (_PLAN_TAG, 0):
        return None
    return ".".join(str(number) for number in header[24:28])


def _no_version(model: Model) -> Finding:
    return Finding(
        "error",
        "no-version",
        model.name,
        model.name,
        "it has no version folder",
        "Triton loads nothing from a model without a folder named 1, 2, ...; an ensemble's may be empty.",
        (f"mkdir {model.name}/1",),
    )


def _no_served_version(model: Model) -> Finding:
    there = ", ".join(version.name for version in model.versions)
    return Finding(
        "error",
        "no-version",
        model.name,
        model.place,
        "its version_policy takes none of its version folders",
        f"Triton loads nothing of it; there is {there}.",
        (f"version_policy {{ specific {{ versions: [ {model.versions[-1].name} ] }} }}",),
        model.line(r"version_policy"),
    )


def _missing(model: Model, gpu: Gpu | None) -> Iterator[Finding]:
    wanted = _wanted(model, gpu)
    for version in model.served if wanted else ():
        if not any(_is_there(version, name) for name in wanted):
            yield Finding(
                "error",
                "missing-artefact",
                model.name,
                f"{model.name}/{version.name}",
                f"there is no {' or '.join(wanted)}",
                f"The backend {model.backend or '(none named)'} runs that file.",
                ("fovea models build" if (model.folder / "model.toml").is_file() else f"put {wanted[0]} there",),
            )


def _wanted(model: Model, gpu: Gpu | None) -> tuple[str, ...]:
    """The files of which a version needs one: that for this GPU, or where there is none that for any."""
    named = model.config.default_model_filename
    otherwise = (named,) if named else _FILES.get(model.backend, ())
    for_gpus = model.config.cc_model_filenames
    if gpu is None:
        return (*(for_gpus[each] for each in sorted(for_gpus)), *otherwise)
    return (for_gpus[gpu.architecture],) if gpu.architecture in for_gpus else otherwise


def _is_there(version: Path, name: str) -> bool:
    try:
        return (version / name).exists()
    except OSError:  # a name that no file can have
        return False


def _unbuilt(model: Model) -> Iterator[Finding]:
    """What a package of ours describes and does not have."""
    if not (model.folder / "model.toml").is_file():
        return
    try:
        for artefact in ModelPackage.read(model.folder).artefacts.values():
            artefact.check()
    except PipelineError as error:
        yield Finding(
            "error",
            "missing-artefact",
            model.name,
            f"{model.name}/model.toml",
            "an artefact is missing or changed",
            f"{error}.",
            (error.hint or "correct model.toml",),
        )


def _plans(model: Model, gpu: Gpu | None) -> Iterator[Finding]:
    if gpu is None:
        return
    for plan in _plans_for(model, gpu):
        if trouble := _trouble(model, plan, gpu):
            yield Finding(
                "error",
                "foreign-plan",
                model.name,
                str(plan.relative_to(model.folder.parent)),
                "the plan is for another machine",
                f"{trouble}; TensorRT refuses it, or runs it slowly.",
                (
                    "fovea models build --engine tensorrt --force --images FOLDER"
                    if (model.folder / "model.toml").is_file()
                    else f"trtexec --onnx=model.onnx --saveEngine={plan.name}   # on this GPU, with this TensorRT",
                ),
            )


def _plans_for(model: Model, gpu: Gpu) -> list[Path]:
    """Those that are loaded on this GPU."""
    for_gpus = model.config.cc_model_filenames
    found = sorted(each for version in model.served for each in version.glob("*.plan") if each.is_file())
    if gpu.architecture in for_gpus:
        return [each for each in found if each.name == for_gpus[gpu.architecture]]
    return [each for each in found if each.name not in for_gpus.values()]


def _trouble(model: Model, plan: Path, gpu: Gpu) -> str | None:
    """Why the plan is not for this GPU and TensorRT, by what is written beside it, else by its header."""
    if (record := _record(model)) is not None:
        if record.key.architecture != gpu.architecture:
            return f"It was made for compute capability {record.key.architecture}, and this GPU has {gpu.architecture}"
        made_by: str | None = record.key.tensorrt
    else:
        made_by = plan_version(plan)
    if made_by is None:
        return "Its header is not that of a TensorRT plan"
    if gpu.tensorrt and made_by.split(".")[:3] != gpu.tensorrt.split(".")[:3]:
        return f"It was made by TensorRT {made_by}, and {gpu.tensorrt} is installed"
    return None


def _record(model: Model) -> plans.Record | None:
    """What is written beside a plan of ours; None where there is nothing that can be read."""
    if not (model.folder / "model.toml").is_file():
        return None
    try:
        return plans.read(ModelPackage.read(model.folder))
    except PipelineError:  # which is found as an artefact that is missing or changed
        return None
