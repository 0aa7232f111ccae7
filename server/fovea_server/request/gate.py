"""Turn away images that cost more than one image may, by what their headers say."""

from __future__ import annotations

from dataclasses import dataclass

from fovea_pipelines.headers import Header
from fovea_server.domain import ImageFacts
from fovea_server.errors import (
    FoveaError,
    ProfileTooLarge,
    SideTooLong,
    TooManyBytes,
    TooManyFrames,
    TooManyPixels,
    TooMuchMetadata,
)
from fovea_server.request import headers


@dataclass(frozen=True)
class GateSettings:
    """What one image may have; docs/hostile-images.md lists what is counted in each format.

    max_bytes     as sent
    max_pixels    of its first picture, or of the canvas that stands on
    max_side      pixels of its longer side
    max_frames    pictures it holds, though only the first is looked at
    max_metadata  bytes of EXIF, XMP, texts and comments
    max_profile   bytes of colour profiles (ICC)
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_side: int = 65_535
    max_frames: int = 1_000
    max_metadata: int = 8_000_000
    max_profile: int = 4_000_000


class Gate:
    """Limits on what one image may cost."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings

    @property
    def max_bytes(self) -> int:
        return self._settings.max_bytes

    def facts(self, image: bytes, also: frozenset[str] = frozenset()) -> ImageFacts:
        """What the header of an image within all limits says; `also` are formats besides those always served.

        Raises the errors of `check_bytes`, of `headers.read` and of `check`.
        """
        self.check_bytes(len(image))
        header = headers.read(image, also)
        self.check(header)
        return ImageFacts(header.format, header.width, header.height, header.orientation, len(image))

    def check_bytes(self, count: int) -> None:
        """Raise TooManyBytes for an image, or the part of it that has come so far, over the limit."""
        if count > self._settings.max_bytes:
            raise TooManyBytes(f"the image has {count:,} bytes; at most {self._settings.max_bytes:,}")

    def check(self, header: Header) -> None:
        """Raise what fits of TooManyPixels, SideTooLong, TooManyFrames, TooMuchMetadata and ProfileTooLarge."""
        most, load = self._settings, header.load
        pixels, side = header.width * header.height, max(header.width, header.height)
        size = f"{header.width}x{header.height}"
        _limit(pixels, most.max_pixels, TooManyPixels, f"{size} is {pixels:,} pixels")
        _limit(side, most.max_side, SideTooLong, f"{size} has a side of {side:,} pixels")
        _limit(load.frames, most.max_frames, TooManyFrames, f"it holds {load.frames:,} pictures or more")
        _limit(load.metadata, most.max_metadata, TooMuchMetadata, f"it carries {load.metadata:,} bytes of metadata")
        _limit(load.profile, most.max_profile, ProfileTooLarge, f"it carries {load.profile:,} bytes of colour profiles")


def _limit(found: int, most: int, error: type[FoveaError], said: str) -> None:
    if found > most:
        raise error(f"{said}; at most {most:,}")
