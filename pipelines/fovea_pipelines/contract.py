"""The preprocessing contract: one frozen description of how bytes become the pixels a model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from fovea_pipelines.errors import BadContract

_LARGEST_SIDE = 4096
_FILL = (114, 114, 114)


def _one_of(*choices: object, default: object = None) -> Any:
    """A setting that may have one of these values. Anything else is refused by name, never approximated."""
    metadata = {"choices": choices}
    return field(metadata=metadata) if default is None else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """How an encoded image becomes UINT8 pixels of shape (output_height, output_width, 3).

    orientation   "apply": turn upright as the EXIF orientation says, before anything else; "ignore"
    colour        the order of the channels, "RGB" or "BGR"
    grey          "repeat": one channel becomes three equal ones
    palette       "look_up": indices become the colours they stand for
    cmyk          "invert": R = 255 - min(255, C + K) and so on, without a colour profile, as Pillow converts
    alpha         "drop": the colours under it as they are stored
    sixteen_bit   "high_byte": the upper 8 bits
    icc           "ignore": an embedded profile changes nothing
    resize        "short_side": the shorter side becomes `resize_to`, the longer follows, cut to whole pixels;
                  "exact": `resize_to` is [height, width], the ratio is not kept;
                  "letterbox": as large as fits into the output with the ratio kept, the rest is filled with `fill`
    kernel        "nearest", "bilinear", "bicubic" (a = -0.5) or "lanczos" (a = 3)
    antialias     whether the kernel's support grows with the shrink factor, as Pillow's does
    crop          "centre": the middle of the resized image, halves of the margin rounded to even (torchvision);
                  "centre_down": the same, halves rounded down (transformers); "none": all of it
    scaled_decode whether a large JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which leaves twice what is needed
    layout        "NHWC", the tensor between the stages
    """

    orientation: str = _one_of("apply", "ignore")
    colour: str = _one_of("RGB", "BGR")
    grey: str = _one_of("repeat", default="repeat")
    palette: str = _one_of("look_up", default="look_up")
    cmyk: str = _one_of("invert", default="invert")
    alpha: str = _one_of("drop", default="drop")
    sixteen_bit: str = _one_of("high_byte", default="high_byte")
    icc: str = _one_of("ignore", default="ignore")
    resize: str = _one_of("short_side", "exact", "letterbox")
    resize_to: int | tuple[int, int] | None = None
    kernel: str = _one_of("nearest", "bilinear", "bicubic", "lanczos")
    antialias: bool = _one_of(True, False)
    crop: str = _one_of("centre", "centre_down", "none")
    fill: tuple[int, int, int] = _FILL
    output_height: int
    output_width: int
    scaled_decode: bool = _one_of(True, False, default=False)
    layout: str = _one_of("NHWC", default="NHWC")

    def __post_init__(self) -> None:
        for setting in fields(self):
            choices = setting.metadata.get("choices")
            value = getattr(self, setting.name)
            if choices and not any(value is choice or (value == choice and type(value) is str) for choice in choices):
                supported = ", ".join(repr(choice) for choice in choices)
                raise BadContract(f"contract.{setting.name} is {value!r}; supported: {supported}")
        for name in ("output_height", "output_width"):
            _check_side(name, getattr(self, name))
        _CHECKS[self.resize](self)
        if self.kernel == "nearest" and self.antialias:
            raise BadContract("contract.antialias is True with the nearest kernel, which has no support to grow")
        if not _is_colour(self.fill):
            raise BadContract(f"contract.fill is {self.fill!r}; it must be three whole numbers from 0 to 255")

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> Contract:
        """Build from the `[contract]` table of a `model.toml`; unknown and missing keys are refused by name."""
        known = {setting.name: setting for setting in fields(cls)}
        if unknown := sorted(set(table) - set(known)):
            raise BadContract(f"contract has unknown settings: {', '.join(unknown)}")
        required = {name for name, setting in known.items() if not _has_default(setting)}
        if missing := sorted(required - set(table)):
            raise BadContract(f"contract lacks: {', '.join(missing)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
        }
        return cls(**values)

    def check_that_all_says_something(self) -> None:
        """Whoever writes settings that change nothing, or cannot be heeded, thinks that they do something."""
        if self.scaled_decode and not self.antialias:
            raise BadContract(
                "contract.scaled_decode is True without antialias, where every source pixel counts and none may be "
                "averaged away beforehand"
            )
        if self.resize != "letterbox" and self.fill != _FILL:
            raise BadContract(f"contract.fill is {self.fill!r}; with resize = {self.resize!r} nothing is filled")

    def beyond_triton_dali(self) -> str | None:
        """What of it Triton's own DALI backend does not do, in NVIDIA's container; None where it does all."""
        does = {"resize": "short_side", "crop": "centre", "colour": "RGB"}
        for name, value in does.items():
            if getattr(self, name) != value:
                return f"contract.{name} is {getattr(self, name)!r}; Triton's DALI backend does {value!r} only"
        return None

    def to_mapping(self) -> dict[str, Any]:
        """The `[contract]` table that says the same, defaults included."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }


def _has_default(setting: Field[Any]) -> bool:
    return setting.default is not MISSING


def _is_colour(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def _check_side(name: str, value: object) -> None:
    if type(value) is not int or not 1 <= value <= _LARGEST_SIDE:
        raise BadContract(f"contract.{name} is {value!r}; it must be a whole number from 1 to {_LARGEST_SIDE}")


def _check_short_side(contract: Contract) -> None:
    _check_side("resize_to", contract.resize_to)
    assert isinstance(contract.resize_to, int)
    if contract.crop == "none":
        raise BadContract("contract.crop is 'none'; with resize = 'short_side' it must be 'centre' or 'centre_down'")
    _check_crop_fits(contract, contract.resize_to, contract.resize_to)


def _check_exact(contract: Contract) -> None:
    if not isinstance(contract.resize_to, tuple) or len(contract.resize_to) != 2:
        raise BadContract(f"contract.resize_to is {contract.resize_to!r}; with resize = 'exact' it is [height, width]")
    for side in contract.resize_to:
        _check_side("resize_to", side)
    _check_crop_fits(contract, *contract.resize_to)
    if contract.crop == "none" and contract.resize_to != (contract.output_height, contract.output_width):
        raise BadContract(
            f"contract resizes to {contract.resize_to[0]}x{contract.resize_to[1]} and crops nothing, but its output is "
            f"{contract.output_height}x{contract.output_width}"
        )


def _check_letterbox(contract: Contract) -> None:
    if contract.resize_to is not None:
        raise BadContract("contract.resize_to says nothing with resize = 'letterbox': the output's size decides")
    if contract.crop != "none":
        raise BadContract(f"contract.crop is {contract.crop!r}; with resize = 'letterbox' it must be 'none'")


def _check_crop_fits(contract: Contract, height: int, width: int) -> None:
    if contract.output_height > height or contract.output_width > width:
        raise BadContract(
            f"contract crops {contract.output_height}x{contract.output_width} (height x width) from at least "
            f"{height}x{width}; the crop must fit inside the resized image"
        )


_CHECKS = {"short_side": _check_short_side, "exact": _check_exact, "letterbox": _check_letterbox}
