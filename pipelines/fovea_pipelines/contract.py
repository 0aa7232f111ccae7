"""The preprocessing contract: one frozen description of how bytes become the pixels a model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fovea_pipelines.errors import BadContract

# What each setting may be today. Anything else is refused by name, never approximated.
_SUPPORTED: dict[str, tuple[object, ...]] = {
    "orientation": ("apply",),
    "colour": ("RGB",),
    "resize": ("short_side",),
    "kernel": ("bilinear",),
    "antialias": (True,),
    "crop": ("centre",),
    "layout": ("NHWC",),
}


@dataclass(frozen=True)
class Contract:
    """How an encoded image becomes UINT8 pixels of shape (output_height, output_width, 3).

    orientation   "apply": rotate and flip as the EXIF orientation says, before anything else
    colour        "RGB": grey is repeated, palettes are looked up, CMYK is converted, alpha is dropped
    resize        "short_side": the shorter side becomes `resize_to` pixels, the ratio is kept
    kernel        "bilinear", the triangle filter; with `antialias` its support grows with the shrink factor
    crop          "centre": the middle `output_width` x `output_height` pixels
    layout        "NHWC", the tensor between the stages
    """

    orientation: str
    colour: str
    resize: str
    resize_to: int
    kernel: str
    antialias: bool
    crop: str
    output_width: int
    output_height: int
    layout: str

    def __post_init__(self) -> None:
        for name, allowed in _SUPPORTED.items():
            value = getattr(self, name)
            if value not in allowed:
                choices = ", ".join(repr(choice) for choice in allowed)
                raise BadContract(f"contract.{name} is {value!r}; supported: {choices}")
        for name in ("resize_to", "output_width", "output_height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4096:
                raise BadContract(f"contract.{name} is {value!r}; it must be a whole number from 1 to 4096")
        if max(self.output_width, self.output_height) > self.resize_to:
            raise BadContract(
                f"contract crops {self.output_width}x{self.output_height} from a short side of {self.resize_to}; "
                "the crop must fit inside the resized image"
            )

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> Contract:
        """Build from the `[contract]` table of a `model.toml`; unknown and missing keys are refused by name."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(table) - known):
            raise BadContract(f"contract has unknown settings: {', '.join(unknown)}")
        if missing := sorted(known - set(table)):
            raise BadContract(f"contract lacks: {', '.join(missing)}")
        return cls(**table)

    def to_mapping(self) -> dict[str, Any]:
        """The `[contract]` table this was read from."""
        return asdict(self)
