"""Turn away images that the model should not be asked about."""

from __future__ import annotations

from dataclasses import dataclass

from fovea_server.domain import ImageFacts
from fovea_server.errors import TooManyBytes, TooManyPixels


@dataclass(frozen=True)
class GateSettings:
    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000


class Gate:
    """Limits on what one image may cost."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings

    @property
    def max_bytes(self) -> int:
        return self._settings.max_bytes

    def check_bytes(self, count: int) -> None:
        """Raise TooManyBytes for an image, or the part of it that has come so far, over the limit."""
        if count > self._settings.max_bytes:
            raise TooManyBytes(f"the image has {count:,} bytes; at most {self._settings.max_bytes:,}")

    def check(self, facts: ImageFacts) -> None:
        """Raise TooManyPixels for an image whose header claims more than may be decoded."""
        pixels = facts.width * facts.height
        if pixels > self._settings.max_pixels:
            raise TooManyPixels(
                f"{facts.width}x{facts.height} is {pixels:,} pixels; at most {self._settings.max_pixels:,}"
            )
