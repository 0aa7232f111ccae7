"""Why a measurement cannot be made, in one sentence, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class BenchmarkError(Exception):
    """For the person at the terminal: the message says what is wrong, the hint what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NoPhotographs(BenchmarkError):
    """The photographs cannot be read."""


class NoPerfAnalyzer(BenchmarkError):
    """perf_analyzer cannot be fetched, or does not run on this machine."""


class ServerNotReady(BenchmarkError):
    """The server does not start, does not answer, or went away."""


class LoadFailed(BenchmarkError):
    """A generator ran and has nothing to show for it."""


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
