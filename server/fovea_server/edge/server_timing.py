"""Where the time went, as one line of text for both faces."""

from __future__ import annotations

from fovea_server.domain import Timings


def server_timing(timings: Timings) -> str:
    """The stages as a `Server-Timing` value (W3C Server Timing), milliseconds."""
    return ", ".join(f"{stage};dur={milliseconds:g}" for stage, milliseconds in vars(timings).items())
