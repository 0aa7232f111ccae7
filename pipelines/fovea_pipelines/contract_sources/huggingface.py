"""Hugging Face: the `preprocessor_config.json` of an image processor of transformers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fovea_pipelines.contract import Contract
from fovea_pipelines.contract_sources.source import (
    Source,
    Triple,
    channels,
    deviations,
    fraction,
    in_pixels,
    pillow,
    refusal,
    require,
    require_nothing_else,
    side,
)
from fovea_pipelines.errors import BadContract

Table = Mapping[str, Any]

# PIL.Image.Resampling; 4 is box and 5 is hamming.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_KNOWN = (
    *("image_processor_type", "feature_extractor_type", "size", "resample", "crop_size", "crop_pct"),
    *("rescale_factor", "image_mean", "image_std"),
    *("do_resize", "do_center_crop", "do_rescale", "do_normalize", "rescale_offset", "include_top"),
    # A grey image is made RGB either way, and labels are not pixels.
    *("do_convert_rgb", "do_reduce_labels", "reduce_labels"),
    # How tensors are passed about in Python.
    *("processor_class", "_processor_class", "_valid_processor_keys", "default_to_square", "data_format"),
    *("input_data_format", "return_tensors", "device", "disable_grouping"),
)
_UNKNOWN_FLAGS = ("do_flip_channel_order", "do_pad", "do_grayscale")


@dataclass(frozen=True)
class _Processor:
    """What a class of image processors assumes where its configuration is silent."""

    square: bool  # whether a size given as one number is a square, rather than the shorter side
    crops: bool = False
    include_top: bool = False
    crop_pct: bool = False


_PROCESSORS = {
    "Beit": _Processor(square=True),
    "Bit": _Processor(square=False, crops=True),
    "Blip": _Processor(square=True),
    "ChineseCLIP": _Processor(square=False, crops=True),
    "CLIP": _Processor(square=False, crops=True),
    "ConvNext": _Processor(square=False, crop_pct=True),
    "DeiT": _Processor(square=True, crops=True),
    "EfficientNet": _Processor(square=True, include_top=True),
    "MobileNetV1": _Processor(square=False, crops=True),
    "MobileNetV2": _Processor(square=False, crops=True),
    "Pvt": _Processor(square=True),
    "Siglip": _Processor(square=False),
    "ViT": _Processor(square=True),
}


def from_huggingface(config: Table) -> Source:
    """Read a `preprocessor_config.json`; transformers 5.23.0.

    image_processing_backends.py (`PilBackend`): resize, centre crop, times `rescale_factor`, normalise, in this order;
    image_transforms.py: `get_resize_output_image_size`, the longer side is int(size * long / short); `center_crop`
    starts at (side - crop) // 2. Since version 5 transformers prefers a backend that resizes tensors, where it finds
    torchvision; the contract describes the PIL one, which is what versions before 5 called the slow processor.

    models/*/image_processing_pil_*.py: the defaults of each class, and what three of them do otherwise:
    ConvNext     shorter side below 384: int(size / crop_pct), then the centre of `size`; otherwise exactly `size`
    EfficientNet `include_top` divides by `image_std` a second time
    Others, which scale, pad or cut into patches in their own way, are refused.
    """
    name, processor = _processor(config)
    library = f"Hugging Face's {name}"
    require(library, config, ["size", "resample"])
    _check_flags(library, config)
    resized = _convnext(library, config) if processor.crop_pct else _plain(library, config, processor)
    mean, std = _normalisation(library, config, processor)
    return Source(resized, mean, std)


def _processor(config: Table) -> tuple[str, _Processor]:
    """The class named in the file; only its family counts: ViTFeatureExtractor is ViTImageProcessorFast."""
    key = "image_processor_type" if config.get("image_processor_type") else "feature_extractor_type"
    name = config.get(key)
    if not name:
        raise BadContract("Hugging Face's configuration lacks: image_processor_type")
    family = str(name).removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor")
    family = family.removesuffix("FeatureExtractor")
    if family not in _PROCESSORS or family == name:
        raise refusal(f"Hugging Face's {key}", name, ", ".join(f"{known}ImageProcessor" for known in _PROCESSORS))
    return str(name), _PROCESSORS[family]


def _check_flags(library: str, config: Table) -> None:
    """Refuse the steps that are left out, scaled otherwise or unknown."""
    for flag in _UNKNOWN_FLAGS:
        if config.get(flag):
            raise refusal(f"{library} {flag}", config[flag], "False")
    require_nothing_else(library, config, (*_KNOWN, *_UNKNOWN_FLAGS))
    for flag in ("do_resize", "do_rescale"):
        if not _flag(library, config, flag, default=True):
            raise refusal(f"{library} {flag}", config[flag], "True")
    if _flag(library, config, "rescale_offset", default=False):
        raise refusal(f"{library} rescale_offset", True, "False")
    factor = config.get("rescale_factor", 1 / 255)
    if not isinstance(factor, float) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise refusal(f"{library} rescale_factor", factor, "1/255 (0.00392156862745098)")


def _flag(library: str, config: Table, name: str, *, default: bool) -> bool:
    value = config.get(name, default)
    if value is not None and not isinstance(value, bool):
        raise refusal(f"{library} {name}", value, "True, False")
    return bool(value)


def _plain(library: str, config: Table, processor: _Processor) -> Contract:
    _check_square(library, config, processor)
    sizes = _size(f"{library} size", config["size"], square=processor.square)
    if _flag(library, config, "do_center_crop", default=processor.crops):
        require(library, config, ["crop_size"])
        output = _rectangle(f"{library} crop_size", _size(f"{library} crop_size", config["crop_size"], square=True))
        return _contract(library, config, sizes, output)
    if isinstance(sizes, int):
        raise refusal(f"{library} size", config["size"], "a height and a width, or do_center_crop: the output is fixed")
    return _contract(library, config, sizes, sizes)


def _check_square(library: str, config: Table, processor: _Processor) -> None:
    """Versions of transformers differ in whether they heed `default_to_square` or go by the class."""
    said = _flag(library, config, "default_to_square", default=processor.square)
    if type(config["size"]) is int and said != processor.square:
        raise refusal(f"{library} default_to_square", said, f"{processor.square}, or a size that names its sides")


def _convnext(library: str, config: Table) -> Contract:
    if _flag(library, config, "do_center_crop", default=False):
        raise refusal(f"{library} do_center_crop", True, "False: crop_pct says how this class crops")
    short = _size(f"{library} size", config["size"], square=False)
    if not isinstance(short, int):
        raise refusal(f"{library} size", config["size"], "{'shortest_edge': n}")
    if short >= 384:
        return _contract(library, config, (short, short), (short, short))
    require(library, config, ["crop_pct"])
    scaled = int(short / fraction(f"{library} crop_pct", config["crop_pct"]))
    return _contract(library, config, scaled, (short, short))


def _contract(library: str, config: Table, sizes: int | tuple[int, int], output: tuple[int, int]) -> Contract:
    resample = config["resample"]
    if type(resample) is not int or resample not in _RESAMPLE:
        raise refusal(f"{library} resample", resample, ", ".join(f"{key} ({name})" for key, name in _RESAMPLE.items()))
    return pillow(
        _RESAMPLE[resample],
        resize="short_side" if isinstance(sizes, int) else "exact",
        resize_to=sizes,
        crop="none" if sizes == output else "centre_down",
        output_height=output[0],
        output_width=output[1],
    )


def _size(name: str, value: object, *, square: bool) -> int | tuple[int, int]:
    """The shorter side, or a height and a width; a list is not read, for its order changed between versions."""
    if isinstance(value, Mapping):
        given = {key: pixels for key, pixels in value.items() if pixels is not None}
        if set(given) == {"shortest_edge"}:
            return side(name, given["shortest_edge"])
        if set(given) == {"height", "width"}:
            return side(name, given["height"]), side(name, given["width"])
    elif type(value) is int:
        return (side(name, value), value) if square else side(name, value)
    raise refusal(name, value, "n, {'shortest_edge': n}, {'height': n, 'width': n}")


def _rectangle(name: str, size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, int):
        raise refusal(name, {"shortest_edge": size}, "n, {'height': n, 'width': n}")
    return size


def _normalisation(library: str, config: Table, processor: _Processor) -> tuple[Triple, Triple]:
    """Mean and standard deviation in units of 0..255; rescaling alone is a mean of 0 and a deviation of 255."""
    include_top = _flag(library, config, "include_top", default=processor.include_top)
    if include_top and not processor.include_top:
        raise refusal(f"{library} include_top", True, "False, but for EfficientNet")
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if _flag(library, config, "do_normalize", default=True):
        require(library, config, ["image_mean", "image_std"])
        mean = channels(f"{library} image_mean", config["image_mean"])
        std = deviations(f"{library} image_std", config["image_std"])
    if include_top:
        require(library, config, ["image_std"])
        again = deviations(f"{library} image_std", config["image_std"])
        std = std[0] * again[0], std[1] * again[1], std[2] * again[2]
    return in_pixels(mean), in_pixels(std)
