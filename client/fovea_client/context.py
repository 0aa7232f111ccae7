"""What a caller says of an image besides its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Context:
    """For whom an image is asked about, by what it can be told apart later, and how urgent it is.

    unit      whom experiments are to treat alike, such as a user: whoever says the same meets the same arm
    slices    by which quality is read apart: {"device": "phone", "region": "eu"}
    priority  "interactive", which is assumed, or "batch": it waits longer, and is turned away first in an overload

    Raises ValueError for what cannot be sent as an HTTP header.
    """

    unit: str = ""
    slices: Mapping[str, str] = field(default_factory=dict)
    priority: Literal["interactive", "batch"] | None = None

    def __post_init__(self) -> None:
        for name, value in self.headers().items():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name} is {value!r}; only printable ASCII can be sent (a hash of it, for instance)")
        if odd := [f"{name}={value}" for name, value in self.slices.items() if ";" in name + value or "=" in name]:
            raise ValueError(f"the slice {odd[0]!r} has a ; or, in its name, a =, which part slices from each other")

    def headers(self) -> dict[str, str]:
        """Over HTTP; gRPC has the same as metadata, in lower case."""
        said = {
            "X-Unit": self.unit,
            "X-Slice": ";".join(f"{name}={value}" for name, value in self.slices.items()),
            "X-Priority": self.priority or "",
        }
        return {name: value for name, value in said.items() if value}

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple((name.lower(), value) for name, value in self.headers().items())


NOTHING_ELSE = Context()
