"""A TensorRT plan beside the model it was made of, and what it was made for: another GPU, TensorRT, precision or graph
needs another plan."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fovea_pipelines.package import ModelPackage, sha256_of

PRECISIONS = ("f16", "f32", "int8")


@dataclass(frozen=True)
class Key:
    """All that a plan depends on.

    architecture   compute capability of the GPU, such as "9.0"
    tensorrt       its version
    precision      "f16", "f32", or "int8" of a graph that carries its quantisation (QDQ)
    onnx           SHA-256 of the graph
    max_batch      images that fit into it
    """

    architecture: str
    tensorrt: str
    precision: str
    onnx: str
    max_batch: int


@dataclass(frozen=True)
class Record:
    """What is written beside a plan: its key, the SHA-256 of its bytes, and how far its answers are from the graph's
    (see `tensorrt_check`)."""

    key: Key
    plan: str
    images: int
    top_1: float
    logit_drift: float
    embedding_drift: float


def plan_of(package: ModelPackage) -> Path:
    """Where `config.pbtxt` wants it."""
    return package.onnx.path.parent / "model.plan"


def record_of(package: ModelPackage) -> Path:
    return plan_of(package).with_suffix(".plan.json")


def read(package: ModelPackage) -> Record | None:
    """What is known of the package's plan; None where there is none, or nothing can be said of it."""
    try:
        table = json.loads(record_of(package).read_text(encoding="utf-8"))
        return Record(**{**table, "key": Key(**table["key"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(package: ModelPackage, record: Record) -> None:
    record_of(package).write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def note_failure(package: ModelPackage, reason: str) -> None:
    """Keep beside a current plan that it could not be run, and why, until it is; where that can be written."""
    if record := read(package):
        with contextlib.suppress(OSError):
            _failure_of(package).write_text(
                json.dumps({"plan": record.plan, "reason": reason}) + "\n", encoding="utf-8"
            )


def forget_failure(package: ModelPackage) -> None:
    with contextlib.suppress(OSError):
        _failure_of(package).unlink()


def failure(package: ModelPackage) -> str | None:
    """Why the plan could not be run when it was last tried; None where it could, or was not tried yet."""
    try:
        table = json.loads(_failure_of(package).read_text(encoding="utf-8"))
        record = read(package)
        return str(table["reason"]) if record and record.plan == table["plan"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _failure_of(package: ModelPackage) -> Path:
    return plan_of(package).with_suffix(".plan.failure.json")


def difference(found: Key, wanted: Key) -> str | None:
    """What makes a plan of `found` useless where `wanted` is needed, in words; None where nothing does."""
    for field in fields(Key):
        is_, should_be = getattr(found, field.name), getattr(wanted, field.name)
        if is_ != should_be:
            return f"it was made for {field.name} {is_}, and {should_be} is needed"
    return None


def why_not_current(package: ModelPackage) -> str | None:
    """Why the plan cannot be run on this machine's GPU by the installed TensorRT; None where it can.

    Raises NoGpu, or ImportError, where there is a plan and no saying which GPU or TensorRT there is.
    """
    if not plan_of(package).is_file():
        return "there is no plan; make one with `fovea models build --engine tensorrt`"
    if (record := read(package)) is None or sha256_of(plan_of(package)) != record.plan:
        return "the plan is not one that `fovea models build --engine tensorrt` made"
    here = key_here(package, record.key.precision, record.key.max_batch)
    changed = difference(record.key, here)
    return changed and f"the plan is out of date: {changed}"


def key_here(package: ModelPackage, precision: str, max_batch: int) -> Key:
    """For this machine's GPU and the installed TensorRT. Raises NoGpu, or ImportError."""
    import tensorrt

    from fovea_pipelines.gpu import driver

    onnx = (package.artefacts.get("int8", package.onnx) if precision == "int8" else package.onnx).sha256
    return Key(driver.compute_capability(), str(tensorrt.__version__), precision, onnx, max_batch)
