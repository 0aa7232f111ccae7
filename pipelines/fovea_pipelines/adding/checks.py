"""What a network must show before it becomes a package: that it answers, the same alone and in company, and as the
original does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.adding.graphs.adopt import Adopted
from fovea_pipelines.contract_sources.source import Triple
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.parity import measures
from fovea_pipelines.quiet_openvino import ov

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Outputs = Mapping[str, Floats]

_FLAT = 1e-3  # of 1/classes: scores that differ by less say nothing
_SUM = 1e-3  # how far scores may be from summing to 1
_LOGITS = 1e-3  # of the span of the logits: what engines differ by in float32
_COSINE = 1e-4


@dataclass(frozen=True)
class Original:
    """What the network came from, which answers normalised float32 NCHW images with logits, or features where it only
    embeds."""

    forward: Callable[[Floats], Floats]
    mean: Triple
    std: Triple


def check(adopted: Adopted, images: Sequence[Pixels], original: Original | None) -> dict[str, float]:
    """Raise BadNetwork unless the graph passes; else how far it was off, for the package.

    `images` are pixels as the contract makes them, UINT8 (height, width, 3), two or more.
    """
    run = _compiled(adopted)
    together = run(np.stack(images))
    _check_answers(adopted, together, len(images))
    alone = [run(image[np.newaxis]) for image in images]
    apart = {name: np.concatenate([each[name] for each in alone]) for name in together}
    found = {"batch": _furthest(together, apart)}
    _require(found["batch"], "answers otherwise in a batch than alone", "export it with a batch size that is not fixed")
    if original:
        found["original"] = _furthest(together, _expected(original, np.stack(images), adopted))
        _require(found["original"], "answers otherwise than the network it was exported from", None)
    return found


def _compiled(adopted: Adopted) -> Callable[[Pixels], Outputs]:
    core = ov.Core()
    try:
        model = core.compile_model(core.read_model(adopted.model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise BadNetwork(f"OpenVINO cannot compile the network: {_last_line(error)}") from error

    def run(pixels: Pixels) -> Outputs:
        try:
            answer = model({"PIXELS": pixels})
        except RuntimeError as error:
            raise BadNetwork(
                f"the network does not run on a batch of {len(pixels)}: {_last_line(error)}",
                hint="export it with a batch size that is not fixed",
            ) from error
        return {output.any_name: np.array(answer[output], np.float32) for output in model.outputs}

    return run


def _check_answers(adopted: Adopted, outputs: Outputs, images: int) -> None:
    wanted = {"EMBEDDING": adopted.features, **({"SCORES": adopted.classes} if adopted.classes else {})}
    for name, width in wanted.items():
        found = outputs[name]
        if found.shape != (images, width):
            raise BadNetwork(f"{name} of {images} images has the shape {found.shape}, not {(images, width)}")
        if not np.isfinite(found).all():
            raise BadNetwork(f"{name} holds {np.count_nonzero(~np.isfinite(found)):,} numbers that are not finite")
    if adopted.classes and (off := np.abs(outputs["SCORES"].sum(axis=1) - 1).max()) > _SUM:
        raise BadNetwork(f"the scores of an image sum to 1 only within {off:.3g}; at most {_SUM:g}")
    if adopted.classes and np.ptp(outputs["SCORES"], axis=1).max() < _FLAT / adopted.classes:
        raise BadNetwork("the scores of an image are the same for all classes: these are no trained weights")
    if adopted.classes and _probabilities_already(outputs["SCORES"]):
        raise BadNetwork(
            "what the network gives are probabilities already, spelled out in operators that are not one softmax",
            hint="export it without its softmax",
        )
    if (outputs["EMBEDDING"] == outputs["EMBEDDING"][0]).all():
        raise BadNetwork(f"the embedding is the same for {images} images that differ")


def _probabilities_already(scores: Floats) -> bool:
    """Whether these scores are a softmax of numbers from 0 to 1 that sum to 1, which logits hardly ever are."""
    least = -1 / scores.shape[1] - _SUM / scores.shape[1]
    centred = [measures.logits(each) for each in scores]
    return all(logits.min() >= least and logits.max() <= 1 for logits in centred)


def _expected(original: Original, pixels: Pixels, adopted: Adopted) -> Outputs:
    mean, std = (np.array(triple, np.float32) for triple in (original.mean, original.std))
    normalised = (pixels.astype(np.float32) - mean) / std
    answer = original.forward(np.ascontiguousarray(normalised.transpose(0, 3, 1, 2)))
    if not adopted.classes:
        return {"EMBEDDING": answer}
    shifted = np.exp(answer - answer.max(axis=1, keepdims=True))
    return {"SCORES": shifted / shifted.sum(axis=1, keepdims=True)}


def _furthest(found: Outputs, expected: Outputs) -> float:
    """How far two answers are apart, as a fraction of what is allowed, of the outputs that both have."""
    return max(_apart(name, found[name], expected[name]) for name in expected)


def _apart(name: str, found: Floats, expected: Floats) -> float:
    if found.shape != expected.shape:
        raise BadNetwork(f"{name} has the shape {found.shape}, the original's is {expected.shape}")
    pairs = list(zip(found, expected, strict=True))
    if name == "EMBEDDING":
        return max(measures.embedding_drift(*pair) for pair in pairs) / _COSINE
    span = max(float(np.ptp(measures.logits(one))) for one, _ in pairs)
    return max(measures.logit_drift(*pair) for pair in pairs) / max(_LOGITS * span, 1e-4)


def _require(furthest: float, what: str, hint: str | None) -> None:
    if furthest > 1:
        raise BadNetwork(f"the network {what}: {furthest:.3g} times what float32 arithmetic explains", hint=hint)


def _last_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it does not say why"
