"""Why a measurement cannot be made, in one sentence, and what to do about it; those of the load are the client's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from fovea_client.load.errors import BenchmarkError, LoadFailed, NoPhotographs

__all__ = ["BenchmarkError", "LoadFailed", "NoPhotographs", "NoPerfAnalyzer", "ServerNotReady", "exit_code"]

_T = TypeVar("_T")


class NoPerfAnalyzer(BenchmarkError):
    """perf_analyzer cannot be fetched, or does not run on this machine."""


class ServerNotReady(BenchmarkError):
    """The server does not start, does not answer, or went away."""


def exit_code(story: Callable[[], _T]) -> int:
    """Run a script's story; 0, or 1 with the reason on stderr, or 130 after Ctrl-C."""
    try:
        story()
    except BenchmarkError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0
