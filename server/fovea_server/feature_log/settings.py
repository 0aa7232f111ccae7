"""What is kept of answers, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureLogSettings:
    """`location` is a folder or a URL; without one nothing is kept. The server has one log, whatever its processes.

    embeddings    of how many of the images the embedding is kept, 0 to 1: always of the same ones
    capture       of how many of the images the bytes are kept
    never_captured  public names of the keys whose images are never kept
    days, capture_days, max_bytes  what is older, or the oldest of what is more, is deleted
    grace_days    how long feedback may wait for the answer it names
    """

    location: str = ""
    embeddings: float = 0.1
    capture: float = 0.0
    never_captured: frozenset[str] = frozenset()
    days: float = 90.0
    capture_days: float = 7.0
    max_bytes: int = 50_000_000_000
    grace_days: float = 7.0
    queue_records: int = 8192
    queue_bytes: int = 64 << 20  # of images that wait, to be hashed or to be captured
    spool_bytes: int = 2 << 30  # of segments and captures that wait for the keeper
    keeper_seconds: float = 5.0  # between two looks of the keeper

    def __bool__(self) -> bool:
        return bool(self.location)
