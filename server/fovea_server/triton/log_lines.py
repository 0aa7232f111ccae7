"""Read tritonserver's log: which lines are events, how grave they are, and what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass

_EVENT = re.compile(r"^(?P<level>[IWEF])\d{4} [\d:.]+ \d+ (?P<source>[\w.]+:\d+)\] +(?P<text>.*)$")
_LEVELS = {"I": "debug", "W": "warning", "E": "error", "F": "critical"}
# On a machine without a GPU these are complaints about nothing.
_MISSES_A_GPU = ("CudaDriverHelper", "CUDA driver version", "pinned system memory", "NVML", "DCGM")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class LogLine:
    """`level` is that of our own logs: what is information to Triton is detail to us."""

    level: str
    text: str
    source: str | None


def parse(line: str) -> LogLine | None:
    """One line of tritonserver's output; None for tables and blank lines."""
    plain = _COLOURS.sub("", line).strip()
    if not plain or plain[0] in "+|":
        return None
    if event := _EVENT.match(plain):
        level = "debug" if any(word in event["text"] for word in _MISSES_A_GPU) else _LEVELS[event["level"]]
        return LogLine(level, event["text"].strip('"'), event["source"])
    return LogLine("error" if plain.startswith("error:") else "debug", plain, None)
