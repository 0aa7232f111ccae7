"""torchvision: the object that `weights.transforms()` returns."""

from __future__ import annotations

from fovea_pipelines.contract_sources.source import (
    Source,
    channels,
    deviations,
    in_pixels,
    kernel,
    pillow,
    refusal,
    require,
    side,
)

_NAMES = ("resize_size", "crop_size", "interpolation", "mean", "std")
# `pil_modes_mapping` sends both kinds of nearest to Pillow's one.
_KERNELS = {
    "nearest": "nearest",
    "nearest-exact": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "lanczos": "lanczos",
}


def from_torchvision(transforms: object) -> Source:
    """Read `ImageClassification`; torchvision 0.29.2, transforms/_presets.py and transforms/functional.py.

    It resizes the shorter side to `resize_size[0]`, the longer to int(resize_size * long / short), crops the centre at
    int(round(margin / 2)), divides by 255 and normalises.

    `antialias` is not read: it changes tensors only. On a PIL image, the path the contract describes, every kernel but
    the nearest antialiases whatever the flag says (`_functional_pil.resize` is `Image.resize`).
    """
    library = f"torchvision's {type(transforms).__name__}"
    require(library, (name for name in _NAMES if hasattr(transforms, name)), _NAMES)
    preset = {name: getattr(transforms, name) for name in _NAMES}
    interpolation = getattr(preset["interpolation"], "value", preset["interpolation"])
    crop = _only(f"{library} crop_size", preset["crop_size"])
    contract = pillow(
        kernel(f"{library} interpolation", interpolation, _KERNELS),
        resize="short_side",
        resize_to=_only(f"{library} resize_size", preset["resize_size"]),
        crop="centre",
        output_height=crop,
        output_width=crop,
    )
    mean = channels(f"{library} mean", preset["mean"])
    std = deviations(f"{library} std", preset["std"])
    return Source(contract, in_pixels(mean), in_pixels(std))


def _only(name: str, value: object) -> int:
    """A side, given as n or as [n]."""
    if not isinstance(value, list | tuple):
        return side(name, value)
    if len(value) != 1:
        raise refusal(name, value, "one number of pixels")
    return side(name, value[0])
