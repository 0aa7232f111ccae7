"""What Triton's Python backend runs on a CPU: a preprocessing model, a network, and both in one; one class each.

Triton merges requests into batches (`dynamic_batching`), the classes here never do. They add to their outputs the
span of their own work, INT64 (2,): begin and end in nanoseconds of CLOCK_MONOTONIC, which every process of one
machine shares. From these the gateway tells the caller where the time went.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils  # provided by Triton's Python backend
from numpy.typing import NDArray

from fovea_pipelines import cpu, garbage, precision
from fovea_pipelines.at_work import AtWork
from fovea_pipelines.one_batch import one_batch
from fovea_pipelines.package import ModelPackage, contract_of
from fovea_pipelines.preprocessed import Preprocessed, Result, Undecodable
from fovea_pipelines.triton_messages import CANCELLED, DEADLINE, LATE, PIXELS_TOO, PREPROCESSING, TICKET, UNDECODABLE
from fovea_pipelines.withdrawn import is_withdrawn

if TYPE_CHECKING:
    from fovea_pipelines.contract import Contract
    from fovea_pipelines.dali_executor import DaliExecutor
    from fovea_pipelines.openvino_engine import OpenVinoEngine
    from fovea_pipelines.outputs import Outputs


class Preprocess:
    """IMAGE UINT8 (n,) to PIXELS UINT8 (height, width, 3) and QUALITY FP32 (3,), by the contract in its own folder."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = ModelSettings(args)
        self._executor = _executor(settings, contract_of(settings.folder))
        garbage.keep_what_is_alive()

    def execute(self, requests: list[Any]) -> list[Any]:
        return each_answered(requests, self._executor.run, _preprocessed)


class OpenVinoNetwork:
    """PIXELS UINT8 (height, width, 3) to SCORES FP32 (classes,) and EMBEDDING FP32 (features,), by OpenVINO.

    A network that only embeds has no SCORES.
    """

    def initialize(self, args: dict[str, str]) -> None:
        settings = ModelSettings(args)
        self._engine = _engine(settings, ModelPackage.read(settings.folder))
        garbage.keep_what_is_alive()

    def execute(self, requests: list[Any]) -> list[Any]:
        begin = time.monotonic_ns()
        groups = [pb_utils.get_input_tensor_by_name(request, "PIXELS").as_numpy() for request in requests]
        outputs = iter(self._engine.run([pixels for group in groups for pixels in group]))
        answers = [[next(outputs) for _ in group] for group in groups]
        end = time.monotonic_ns()
        return [scored(group, (begin, end)) for group in answers]


class DecodeAndInfer:
    """Both: IMAGE UINT8 (n,) to SCORES FP32 (classes,), EMBEDDING FP32 (features,) and QUALITY FP32 (3,).

    By the contract of the package that `network` of the configuration names, in the folder beside its own. PIXELS UINT8
    (height, width, 3) are given to those who ask for them by a parameter: whoever names no outputs asks for all.
    """

    def initialize(self, args: dict[str, str]) -> None:
        settings = ModelSettings(args)
        package = ModelPackage.read(settings.folder.with_name(settings.text("network")))
        self._at_work = AtWork()
        self._executor = _executor(settings, package.contract)
        self._engine = _engine(settings, package)
        garbage.keep_what_is_alive()

    def execute(self, requests: list[Any]) -> list[Any]:
        with self._at_work.on_a_batch():
            return each_answered(requests, self._run, _inferred)

    def _run(self, images: list[NDArray[np.uint8]]) -> list[_Inferred | Undecodable | RuntimeError]:
        results = self._executor.run(images)
        decoded = time.monotonic_ns()
        outputs = iter(self._engine.run([each.pixels for each in results if isinstance(each, Preprocessed)]))
        return [_Inferred(each, next(outputs), decoded) if isinstance(each, Preprocessed) else each for each in results]


@dataclass(frozen=True)
class _Inferred:
    """`decoded` is when all images of its batch were, in nanoseconds."""

    preprocessed: Preprocessed
    outputs: Outputs
    decoded: int


def _executor(settings: ModelSettings, contract: Contract) -> DaliExecutor:
    # Not above: the process of a network has no need of DALI's 70 MB.
    from fovea_pipelines.dali_executor import DaliExecutor

    return DaliExecutor(contract, max_batch=settings.max_batch, threads=settings.threads())


def _engine(settings: ModelSettings, package: ModelPackage) -> OpenVinoEngine:
    # Not above: the process of a preprocessing model has no need of OpenVINO's 20 MB.
    from fovea_pipelines import compiled_networks
    from fovea_pipelines.openvino_engine import OpenVinoEngine

    chosen = precision.choose(package, os.environ.get(precision.VARIABLE) or settings.text("precision"))
    model = precision.artefact_of(package, chosen)
    return OpenVinoEngine(model, chosen, streams=settings.threads(), kept=compiled_networks.of_this_user())


class ModelSettings:
    """The parameters of a model's configuration, read once when it loads."""

    def __init__(self, args: dict[str, str]) -> None:
        self.folder = Path(args["model_repository"])
        self._config = json.loads(args["model_config"])
        self._kind, self._place = args["model_instance_kind"], args["model_instance_device_id"]

    @property
    def max_batch(self) -> int:
        return int(self._config["max_batch_size"])

    @property
    def device(self) -> int | None:
        """The GPU that Triton placed this instance on; None for the CPU."""
        return int(self._place) if self._kind == "GPU" else None

    def text(self, name: str) -> str:
        return str(self._config["parameters"][name]["string_value"])

    def threads(self) -> int:
        """`threads` of the configuration; 0 means one for each CPU this process may use, shared with the model's other
        instances."""
        instances = sum(group["count"] for group in self._config["instance_group"])
        return int(self.text("threads")) or cpu.share(cpu.available(), instances)


class GivenUp(Exception):
    """Nobody waits for the answer any more, so the image is not decoded; those beside it in the batch are."""


def given_up(request: Any) -> GivenUp | None:
    """Why a request needs no answer: its caller went away, or the deadline that it brought has passed."""
    parameters = parameters_of(request)
    ticket, deadline = parameters.get(TICKET), parameters.get(DEADLINE)
    if is_withdrawn(ticket) if ticket else request.is_cancelled():
        return GivenUp(CANCELLED)
    if isinstance(deadline, int) and time.monotonic_ns() > deadline:
        return GivenUp(LATE)
    return None


def parameters_of(request: Any) -> dict[str, Any]:
    """What the request says besides its tensors."""
    parameters: dict[str, Any] = json.loads(request.parameters() or "{}")
    return parameters


def each_answered(
    requests: list[Any],
    run: Callable[[list[NDArray[np.uint8]]], Sequence[Any]],
    answer: Callable[[Any, list[Any], tuple[int, int]], Any],
) -> list[Any]:
    """One answer for each request: `run` gives a result for every image that is still wanted, and `answer` makes what
    is answered of a request, its results and when they were begun and done."""
    begin = time.monotonic_ns()
    groups = [given_up(request) or images_of(request) for request in requests]
    results = iter(run([image for group in groups if isinstance(group, list) for image in group]))
    span = begin, time.monotonic_ns()
    return [
        failed(group) if isinstance(group, GivenUp) else answer(request, [next(results) for _ in group], span)
        for request, group in zip(requests, groups, strict=True)
    ]


def images_of(request: Any) -> list[NDArray[np.uint8]]:
    return list(pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy())


def _preprocessed(request: Any, group: list[Result], span: tuple[int, int]) -> Any:
    decoded = [result for result in group if isinstance(result, Preprocessed)]
    if len(decoded) < len(group):
        return failed(next(result for result in group if not isinstance(result, Preprocessed)))
    return answered(PIXELS=one_batch([result.pixels for result in decoded]), **_measured(decoded, span))


def _inferred(request: Any, group: list[_Inferred | Undecodable | RuntimeError], span: tuple[int, int]) -> Any:
    inferred = [result for result in group if isinstance(result, _Inferred)]
    if len(inferred) < len(group):
        return failed(next(result for result in group if not isinstance(result, _Inferred)))
    begin, end = span
    decoded = inferred[0].decoded
    shown = [result.preprocessed.pixels for result in inferred] if parameters_of(request).get(PIXELS_TOO) else []
    return answered(
        **({"PIXELS": one_batch(shown)} if shown else {}),
        **_scores([result.outputs for result in inferred], (decoded, end)),
        **_measured([result.preprocessed for result in inferred], (begin, decoded)),
    )


def failed(culprit: Undecodable | RuntimeError | GivenUp) -> Any:
    """The answer to a request one of whose images has no pixels."""
    if isinstance(culprit, GivenUp):
        return _failure(str(culprit), pb_utils.TritonError.CANCELLED)
    if isinstance(culprit, Undecodable):
        return _failure(f"{UNDECODABLE}{culprit}", pb_utils.TritonError.INVALID_ARG)
    return _failure(f"{PREPROCESSING}{culprit}", pb_utils.TritonError.INTERNAL)


def scored(group: list[Outputs], span: tuple[int, int]) -> Any:
    return answered(**_scores(group, span))


def _scores(group: list[Outputs], span: tuple[int, int]) -> dict[str, NDArray[Any]]:
    scores = [outputs.scores for outputs in group if outputs.scores is not None]
    return {
        **({"SCORES": one_batch(scores)} if scores else {}),
        "EMBEDDING": one_batch([outputs.embedding for outputs in group]),
        "MODEL_SPAN": span_of(*span, len(group)),
    }


def _measured(group: list[Preprocessed], span: tuple[int, int]) -> dict[str, NDArray[Any]]:
    return {
        "QUALITY": one_batch([result.quality for result in group]),
        "PREPROCESS_SPAN": span_of(*span, len(group)),
    }


def answered(*made: Any, **arrays: NDArray[Any]) -> Any:
    """A response of tensors that are Triton's already, and of arrays by name."""
    return pb_utils.InferenceResponse([*made, *(pb_utils.Tensor(name, array) for name, array in arrays.items())])


def _failure(message: str, code: Any) -> Any:
    """For one request: tritonserver 2.51 frees the text of an error that answers two with the first (SIGSEGV)."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def span_of(begin: int, end: int, images: int) -> NDArray[np.int64]:
    return np.tile(np.array([begin, end], dtype=np.int64), (images, 1))
