"""Make a TensorRT plan of a package's ONNX graph, for this machine's GPU; kept only if it answers as the graph does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fovea_pipelines.engines import plans, tensorrt_check, trtexec
from fovea_pipelines.engines.plans import Key, Record
from fovea_pipelines.engines.span_output import with_span
from fovea_pipelines.engines.symmetric import symmetric
from fovea_pipelines.engines.trtexec import Profile
from fovea_pipelines.errors import BadNetwork, MissingArtefact, NoGpu
from fovea_pipelines.package import Artefact, ModelPackage, sha256_of

MAX_BATCH = 64  # of the GPU's configurations
_FLAGS = {"f16": ("FP16",), "f32": (), "int8": ("INT8", "FP16")}


def build(
    package: ModelPackage,
    precision: str = "f16",
    max_batch: int = MAX_BATCH,
    *,
    corpus: Sequence[NDArray[np.uint8]],
    force: bool = False,
) -> Record:
    """The record of the package's plan, made now unless there is a current one.

    `corpus` are images as the network sees them, UINT8 (height, width, 3); on these the plan must answer as the graph
    in 32-bit floats does. Raises NoGpu without a GPU or TensorRT, MissingArtefact for an 8-bit plan of a package
    without an 8-bit graph, and BadNetwork where TensorRT cannot make a plan or its answers are beyond the limits.
    """
    check_possible(package, precision)
    key = plans.key_here(package, precision, max_batch)
    record = plans.read(package)
    if record and not force and plans.why_not_current(package) is None and not plans.difference(record.key, key):
        return record
    graph = graph_of(package, precision)
    graph.check()
    draft = plans.plan_of(package).with_name(".model.plan")
    try:
        draft.write_bytes(_planned(graph.path, key, _profile(package, max_batch), _timing_cache(package)))
        drift = tensorrt_check.drift(package, draft, corpus, max_batch)
        tensorrt_check.refuse_beyond_limits(package, precision, drift)
        record = Record(key, sha256_of(draft), drift.images, drift.top_1, drift.logits, drift.embedding)
        draft.replace(plans.plan_of(package))
    finally:
        draft.unlink(missing_ok=True)
    plans.write(package, record)
    return record


def check_possible(package: ModelPackage, precision: str) -> None:
    """Raise unless TensorRT is here and the package has what the precision is made of."""
    if precision not in plans.PRECISIONS:
        raise BadNetwork(f"there is no precision {precision!r}; choose from {', '.join(plans.PRECISIONS)}")
    graph_of(package, precision)
    if find_spec("tensorrt") is None:
        raise NoGpu(
            "TensorRT is not installed (the Python package tensorrt, of the same version as the server's TensorRT)",
            "pip install tensorrt, or build inside NVIDIA's Triton container; until then ONNX Runtime serves the model",
        )


def graph_of(package: ModelPackage, precision: str) -> Artefact:
    """The ONNX graph that a plan of this precision is made of: 8-bit plans take their scales from a quantised one."""
    if precision != "int8":
        return package.onnx
    if "int8" not in package.artefacts:
        raise MissingArtefact(
            f"{package.name} has no 8-bit form", f"fovea models build {package.name} --precision int8 --images FOLDER"
        )
    return package.artefacts["int8"]


def _profile(package: ModelPackage, max_batch: int) -> Profile:
    contract = package.contract
    # What batches are under load, half full on average, is what is tuned for.
    return Profile((contract.output_height, contract.output_width, 3), 1, max(1, max_batch // 2), max_batch)


def _timing_cache(package: ModelPackage) -> Path:
    return plans.plan_of(package).with_name("model.timing-cache")


def _planned(graph: Path, key: Key, profile: Profile, cache: Path) -> bytes:
    """The plan's bytes: by the Python API, or by trtexec where that has no builder (the lean runtime)."""
    import tensorrt

    model = with_span(symmetric(onnx.load(graph))).SerializeToString()
    if hasattr(tensorrt, "Builder"):
        return _by_api(tensorrt, model, key.precision, profile, cache)
    tool = shutil.which("trtexec")
    if tool is None:
        raise NoGpu(
            f"TensorRT {tensorrt.__version__} has no builder here, and there is no trtexec",
            "install the whole of TensorRT, or build inside NVIDIA's Triton container",
        )
    with tempfile.TemporaryDirectory() as folder:
        source, plan = Path(folder, "model.onnx"), Path(folder, "model.plan")
        source.write_bytes(model)
        trtexec.run(trtexec.command(tool, source, plan, cache, key.precision, profile))
        return plan.read_bytes()


def _by_api(trt: Any, model: bytes, precision: str, profile: Profile, cache: Path) -> bytes:
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise BadNetwork(f"TensorRT cannot read the graph: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    for flag in _FLAGS[precision]:
        if not hasattr(trt.BuilderFlag, flag):
            raise BadNetwork(
                f"TensorRT {trt.__version__} no longer chooses the precision of a graph ({precision})",
                "build with --precision f32, or with TensorRT 10",
            )
        config.set_flag(getattr(trt.BuilderFlag, flag))
    ranges = builder.create_optimization_profile()
    ranges.set_shape("PIXELS", *profile.shapes)
    config.add_optimization_profile(ranges)
    kept = config.create_timing_cache(cache.read_bytes()) if cache.is_file() else None
    timings = kept or config.create_timing_cache(b"")  # a damaged one is None
    config.set_timing_cache(timings, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BadNetwork("TensorRT could not make a plan of the graph", "its log above says why")
    cache.write_bytes(bytes(timings.serialize()))
    return bytes(plan)
