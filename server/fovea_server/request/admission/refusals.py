"""What is said to those who are turned away, with the numbers in it."""

from __future__ import annotations

from fovea_server.domain import Deadline
from fovea_server.errors import Busy, DeadlineExceeded, DeadlineUnreachable, Shed
from fovea_server.request.admission.room import Room
from fovea_server.request.admission.settings import AdmissionSettings


def too_late(seconds: float, deadline: Deadline) -> DeadlineUnreachable:
    """By the forecast the answer is `seconds` away."""
    remaining = deadline.remaining()
    return DeadlineUnreachable(
        f"an answer takes {seconds * 1000:.0f} ms at present; the deadline is in {remaining * 1000:.0f} ms",
        retry_after=seconds - remaining,
    )


def expired(room: Room) -> DeadlineExceeded:
    return DeadlineExceeded(f"the deadline passed while {len(room):,} requests were waiting")


def full(room: Room, settings: AdmissionSettings, retry_after: float) -> Busy:
    return Busy(
        f"{_waiting(room)}; at most {settings.max_waiting:,} with {settings.max_waiting_bytes:,} may",
        retry_after=retry_after,
    )


def overloaded(room: Room, limit: float, retry_after: float) -> Busy:
    return Busy(
        f"{_waiting(room)}, {room.work:.0f} units of work where {limit:.0f} are done at once; "
        "one more would wait too long",
        retry_after=retry_after,
    )


def gave_way(room: Room, retry_after: float) -> Shed:
    return Shed(f"{_waiting(room)}; the newest batch request gave way to an interactive one", retry_after=retry_after)


def _waiting(room: Room) -> str:
    return f"{len(room):,} requests with {room.bytes:,} bytes are waiting"
