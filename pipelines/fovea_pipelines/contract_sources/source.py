"""What every description becomes, and the few steps that reading each of them shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadContract

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Source:
    """A contract, and the normalisation that follows it: x = (pixel - mean) / std, per RGB channel, in 0..255.

    `scaled_decode` is what was said of it; None where nothing was, as no library knows of it.
    """

    contract: Contract
    mean: Triple
    std: Triple
    scaled_decode: bool | None = None


def refusal(name: str, value: object, supported: str) -> BadContract:
    return BadContract(f"{name} is {value!r}; supported: {supported}")


def require(library: str, present: Iterable[str], names: Sequence[str]) -> None:
    """Raise if the description lacks any of these, and name them."""
    there = set(present)
    if missing := [name for name in names if name not in there]:
        raise BadContract(f"{library} lacks: {', '.join(missing)}")


def require_nothing_else(library: str, description: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise if the description switches on anything we do not know, and name it. What is off changes no pixel."""
    unknown = set(description) - set(known)
    for name in sorted(unknown):
        if description[name] is not None and description[name] is not False:
            raise refusal(f"{library} {name}", description[name], "leaving it out")


def kernel(name: str, value: str, kernels: Mapping[str, str]) -> str:
    """The contract's word for a library's; the interpolations Pillow has and the contract has not are refused."""
    if not isinstance(value, str) or value not in kernels:
        raise refusal(name, value, ", ".join(map(repr, kernels)))
    return kernels[value]


def pillow(kernel: str, **geometry: Any) -> Contract:
    """A contract with the resize of Pillow, which always antialiases, but for the nearest neighbour."""
    return Contract(orientation="apply", colour="RGB", kernel=kernel, antialias=kernel != "nearest", **geometry)


def side(name: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise refusal(name, value, "a whole number of pixels")
    return value


def channels(name: str, values: object) -> Triple:
    """Three finite numbers, one a channel."""
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(_is_number, values)):
        raise refusal(name, values, "three numbers, one for each of R, G and B")
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def deviations(name: str, values: object) -> Triple:
    """Three numbers one can divide by."""
    found = channels(name, values)
    if min(found) <= 0:
        raise refusal(name, values, "three numbers above 0")
    return found


def in_pixels(values: Triple) -> Triple:
    """From units of 0..1 to units of 0..255."""
    red, green, blue = values
    return red * 255, green * 255, blue * 255


def fraction(name: str, value: object) -> float:
    """The part of the resized image that a centre crop keeps, along one side."""
    if not _is_number(value) or not 0 < float(value) <= 1:  # type: ignore[arg-type]
        raise refusal(name, value, "a number above 0, at most 1")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
