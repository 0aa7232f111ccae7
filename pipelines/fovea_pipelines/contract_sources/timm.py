"""timm: a data config, as `timm.data.resolve_model_data_config(model)` returns it, or a pretrained config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fovea_pipelines.contract import Contract
from fovea_pipelines.contract_sources.source import (
    Source,
    channels,
    deviations,
    fraction,
    in_pixels,
    kernel,
    pillow,
    refusal,
    require,
    require_nothing_else,
    side,
)

_NAMES = ("input_size", "interpolation", "crop_pct", "mean", "std")
# What else a pretrained config has (`PretrainedCfg`): nothing of it reaches the evaluation transform.
_NOT_PIXELS = (
    *("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "architecture", "tag", "custom_load"),
    *("test_input_size", "test_crop_pct", "min_input_size", "fixed_input_size", "pool_size", "test_pool_size"),
    *("num_classes", "label_offset", "label_names", "label_descriptions", "first_conv", "classifier"),
    *("license", "description", "origin_url", "paper_name", "paper_ids", "notes"),
)
_KERNELS = {name: name for name in ("nearest", "bilinear", "bicubic", "lanczos")}


def from_timm(config: Mapping[str, Any]) -> Source:
    """Read a data config; timm 1.0.31, data/transforms_factory.py (`transforms_imagenet_eval`), data/config.py.

    Each side is resized to floor(side / crop_pct), through torchvision's Resize on a PIL image; then the centre is
    cropped. `crop_mode` "center" keeps the ratio, and is timm's choice where it is missing; "squash" does not. As timm
    does by default, `input_size` and `crop_pct` count, not `test_input_size` and `test_crop_pct`.

    Refused: "border", whose sizes are rounded otherwise than the contract's letterbox on one image in 200, by one
    pixel; and "center" for outputs that are not square, where timm covers a rectangle (`ResizeKeepRatio`).
    """
    require("timm's config", config, _NAMES)
    require_nothing_else("timm's", config, (*_NAMES, "crop_mode", *_NOT_PIXELS))
    mean = channels("timm's mean", config["mean"])
    std = deviations("timm's std", config["std"])
    return Source(_contract(config), in_pixels(mean), in_pixels(std))


def _contract(config: Mapping[str, Any]) -> Contract:
    height, width = output = _output(config["input_size"])
    crop_pct = fraction("timm's crop_pct", config["crop_pct"])
    scaled = math.floor(height / crop_pct), math.floor(width / crop_pct)
    return pillow(
        kernel("timm's interpolation", config["interpolation"], _KERNELS),
        **_resize(config.get("crop_mode") or "center", scaled, output),
        output_height=height,
        output_width=width,
    )


def _resize(crop_mode: object, scaled: tuple[int, int], output: tuple[int, int]) -> dict[str, Any]:
    if crop_mode == "squash":
        return {"resize": "exact", "resize_to": scaled, "crop": "none" if scaled == output else "centre"}
    if crop_mode != "center":
        raise refusal("timm's crop_mode", crop_mode, "'center', 'squash'")
    if output[0] != output[1]:
        raise refusal("timm's input_size", (3, *output), "a square with crop_mode 'center', any with 'squash'")
    return {"resize": "short_side", "resize_to": scaled[0], "crop": "centre"}


def _output(input_size: object) -> tuple[int, int]:
    if not isinstance(input_size, list | tuple) or len(input_size) != 3 or input_size[0] != 3:
        raise refusal("timm's input_size", input_size, "(3, height, width)")
    return side("timm's input_size", input_size[1]), side("timm's input_size", input_size[2])
