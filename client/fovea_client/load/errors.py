"""Why a measurement cannot be made, in one sentence, and what to do about it."""

from __future__ import annotations


class BenchmarkError(Exception):
    """For the person at the terminal: the message says what is wrong, the hint what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NoPhotographs(BenchmarkError):
    """The photographs cannot be read."""


class LoadFailed(BenchmarkError):
    """A generator ran and has nothing to show for it."""
