"""What Triton's Python backend runs: a preprocessing model and a classifier, one class each.

Triton merges requests into batches (`dynamic_batching`), the classes here never do. Both add to their outputs the
span of their own work, INT64 (2,): begin and end in nanoseconds of CLOCK_MONOTONIC, which every process of one
machine shares. From these the gateway tells the caller where the time went.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # provided by Triton's Python backend
from numpy.typing import NDArray

from fovea_pipelines.dali_executor import DaliExecutor, Preprocessed, Result, Undecodable
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.triton_messages import CANCELLED, UNDECODABLE


class Preprocess:
    """IMAGE UINT8 (n,) to PIXELS UINT8 (height, width, 3) and QUALITY FP32 (3,), by a package's contract."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = _Settings(args)
        contract = settings.package().contract
        self._executor = DaliExecutor(contract, max_batch=settings.max_batch, threads=settings.threads())

    def execute(self, requests: list[Any]) -> list[Any]:
        begin = time.monotonic_ns()
        groups = [None if request.is_cancelled() else _images_of(request) for request in requests]
        results = iter(self._executor.run([image for group in groups for image in group or ()]))
        end = time.monotonic_ns()
        return [
            _failure(CANCELLED, pb_utils.TritonError.CANCELLED)
            if group is None
            else _preprocessed([next(results) for _ in group], (begin, end))
            for group in groups
        ]


class OpenVinoClassifier:
    """PIXELS UINT8 (height, width, 3) to SCORES FP32 (classes,) and EMBEDDING FP32 (features,), by OpenVINO."""

    def initialize(self, args: dict[str, str]) -> None:
        from fovea_pipelines.openvino_engine import OpenVinoEngine

        settings = _Settings(args)
        artefact = settings.package().artefacts[0]
        artefact.check()
        self._engine = OpenVinoEngine(artefact.path, settings.text("precision"), streams=settings.threads())

    def execute(self, requests: list[Any]) -> list[Any]:
        begin = time.monotonic_ns()
        groups = [pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy() for request in requests]
        scored = iter(self._engine.run([pixels for group in groups for pixels in group]))
        answers = [[next(scored) for _ in group] for group in groups]
        end = time.monotonic_ns()
        return [
            _response(
                SCORES=np.stack([answer.scores for answer in group]),
                EMBEDDING=np.stack([answer.embedding for answer in group]),
                MODEL_SPAN=_span(begin, end, len(group)),
            )
            for group in answers
        ]


class _Settings:
    """The parameters of a model's configuration, read once when it loads."""

    def __init__(self, args: dict[str, str]) -> None:
        self._folder = Path(args["model_repository"])
        self._config = json.loads(args["model_config"])

    @property
    def max_batch(self) -> int:
        return int(self._config["max_batch_size"])

    def text(self, name: str) -> str:
        return str(self._config["parameters"][name]["string_value"])

    def threads(self) -> int:
        """`threads` of the configuration; 0 means one for each CPU this process may use."""
        return int(self.text("threads")) or len(os.sched_getaffinity(0))

    def package(self) -> ModelPackage:
        """The package named by `package`, a folder of the same repository."""
        return ModelPackage.read(self._folder.parent / self.text("package"))


def _images_of(request: Any) -> list[NDArray[np.uint8]]:
    return list(pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy())


def _preprocessed(group: list[Result], span: tuple[int, int]) -> Any:
    decoded = [result for result in group if isinstance(result, Preprocessed)]
    if len(decoded) < len(group):
        culprit = next(result for result in group if not isinstance(result, Preprocessed))
        if isinstance(culprit, Undecodable):
            return _failure(f"{UNDECODABLE}{culprit}", pb_utils.TritonError.INVALID_ARG)
        return _failure(str(culprit), pb_utils.TritonError.INTERNAL)
    return _response(
        PIXELS=np.stack([result.pixels for result in decoded]),
        QUALITY=np.stack([result.quality for result in decoded]),
        PREPROCESS_SPAN=_span(*span, len(decoded)),
    )


def _response(**tensors: NDArray[Any]) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in tensors.items()])


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def _span(begin: int, end: int, images: int) -> NDArray[np.int64]:
    return np.tile(np.array([begin, end], dtype=np.int64), (images, 1))
