"""Time that passes only while nothing is left to do: what tests say of seconds holds on a busy machine too."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any

import pytest


@pytest.fixture
async def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the event loop would sleep, its clock is put forward instead."""
    selector: selectors.BaseSelector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    real, now = selector.select, time.monotonic()

    def select(timeout: float | None = None) -> Any:
        nonlocal now
        if timeout is None:  # no timer is set: only somebody else can wake the loop
            return real(None)
        events = real(0)
        now += 0 if events else timeout
        return events

    monkeypatch.setattr(selector, "select", select)
    monkeypatch.setattr(time, "monotonic", lambda: now)
