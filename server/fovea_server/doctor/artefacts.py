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
        elif not model.is_ensemble:
            yield from _missing(model)
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


def _missing(model: Model) -> Iterator[Finding]:
    named = model.config.default_model_filename
    wanted = (named,) if named else _FILES.get(model.backend, ())
    newest = model.versions[-1]
    if wanted and not any((newest / name).exists() for name in wanted):
        yield Finding(
            "error",
            "missing-artefact",
            model.name,
            f"{model.name}/{newest.name}",
            f"there is no {' or '.join(wanted)}",
            f"The backend {model.backend or '(none named)'} runs that file.",
            ("fovea models build" if (model.folder / "model.toml").is_file() else f"put {wanted[0]} there",),
        )


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
    for plan in (each for version in model.versions for each in version.glob("*.plan")):
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


def _trouble(model: Model, plan: Path, gpu: Gpu) -> str | None:
    """Why the plan is not for this GPU and TensorRT, by what is written beside it, else by its header."""
    if (model.folder / "model.toml").is_file() and (record := plans.read(ModelPackage.read(model.folder))) is not None:
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
