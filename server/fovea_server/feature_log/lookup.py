"""Features of one image, online: the same join as the export, for one digest."""

from __future__ import annotations

import asyncio
import functools
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fovea_server.errors import FeatureLogUnavailable, NoSuchImage
from fovea_server.feature_log.places import Places

if TYPE_CHECKING:
    from fovea_server.feature_log.reading import Reader

_AT_ONCE = 2  # look-ups in threads; others wait for theirs
_WAITING = 32  # others that may


class Lookup:
    """Reads the log beside the requests, a little at a time."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._places_taken = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def features(self, digest: str, as_of: datetime | None = None) -> list[dict[str, Any]]:
        """Records of the image with this digest, last first, each with the label known at `as_of`, or now.

        Raises NoSuchImage, or FeatureLogUnavailable where the log cannot be read or too many ask at once.
        """
        if self._waiting >= _WAITING:
            raise FeatureLogUnavailable(f"{self._waiting} look-ups wait already", retry_after=1.0)
        self._waiting += 1
        try:
            await self._places_taken.acquire()
            reading = asyncio.get_running_loop().run_in_executor(None, self._read, digest, as_of)
            # Not with the caller, who may hang up while the thread goes on.
            reading.add_done_callback(lambda _: self._places_taken.release())
            rows = await asyncio.shield(reading)
        finally:
            self._waiting -= 1
        if not rows:
            raise NoSuchImage(f"no answer about an image with the SHA-256 {digest} is on record")
        return rows

    def _read(self, digest: str, as_of: datetime | None) -> list[dict[str, Any]]:
        import duckdb

        from fovea_server.feature_log import plain

        try:
            found = self._reader.of_image(digest, as_of)
        except (duckdb.Error, OSError) as error:
            raise FeatureLogUnavailable(f"the log cannot be read: {str(error)[:200]}", retry_after=5.0) from error
        return plain.rows(found)

    @functools.cached_property
    def _reader(self) -> Reader:
        """Made when it is first needed: what it stands on takes 0.2 s to import."""
        from fovea_server.feature_log.reading import Reader

        return Reader(self._places, threads=1)
