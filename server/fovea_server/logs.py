"""Structured logs on stderr: lines for people on a terminal, JSON for everything else."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

# What follows the public id of an API key (access/keys.py).
# It ends where a rendered line may go on: at a backslash begin JSON's escapes, at ESC the colours of a terminal.
_SECRET = re.compile(r"(fovea_[0-9a-f]{12}_)[^\s\"'&\\\x1b]+")


def configure(level: str = "info", json: bool | None = None, worker: int | None = None) -> None:
    """Set up structlog for this process; `json` None means JSON unless stderr is a terminal.

    Lines of a gateway process that follows another name it: `worker`.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what callers do wrong is told to them
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *([_of_worker(worker)] if worker is not None else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
            without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # A line is one write, so that those of several processes do not run into each other.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def without_secrets(_logger: Any, _method: str, line: Any) -> str:
    """No part of the server logs a key; should one come in what a caller made up, its secret stays out all the same.

    Of the rendered line, so that it does not matter where in a list, a mapping or a traceback it was.
    """
    return _SECRET.sub(r"\1…", str(line))


def get_logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines name the part of the server they come from."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=part)
    return logger


def _of_worker(worker: int) -> structlog.typing.Processor:
    def say(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["worker"] = worker
        return event

    return say
