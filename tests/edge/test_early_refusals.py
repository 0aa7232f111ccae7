"""What a server that is overloaded says from the headers, by who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.edge.who_may import Keys, make_keys

from fovea_server.access import keys
from fovea_server.access.guard import Guard
from fovea_server.access.key_file import KeyFile
from fovea_server.domain import Deadline, Priority
from fovea_server.edge.early_refusals import EarlyRefusals
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.gate import Gate, GateSettings

_SETTINGS = AdmissionSettings(max_in_flight=4, batch=None, patience=2.0, short_patience=0.5)


class _Door:
    """Of a server that asks for keys, overloaded by the one key that may infer."""

    def __init__(self, state: Path) -> None:
        self.texts: Keys = make_keys(state)
        self.admission, self.metrics = Admission(_SETTINGS), Metrics()
        self.refusals = EarlyRefusals(self.admission, Gate(GateSettings()), Guard(KeyFile(state)), self.metrics)

    def says(self, who: str, size: int = 100) -> FoveaError | None:
        sent = [(b"authorization", f"Bearer {self.texts[who]}".encode())] if who in self.texts else []
        return self.refusals(size, Priority.INTERACTIVE, sent)

    async def hold(self) -> None:
        identity, _ = keys.parts(self.texts["infer"]) or ("", "")
        async with self.admission.slot(100, Deadline.after(30), caller=identity):
            await asyncio.sleep(30)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[_Door]:
    door = _Door(tmp_path)
    tasks = [asyncio.create_task(door.hold()) for _ in range(40)]
    for _ in range(5):
        await asyncio.sleep(0)
    yield door
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_key_that_has_too_much_waiting_is_turned_away_and_counted(door: _Door) -> None:
    error = door.says("infer")
    assert error is not None
    assert error.reason == "BUSY"
    assert door.metrics.registry.get_sample_value("fovea_requests_total", {"outcome": "BUSY"}) == 1


@pytest.mark.parametrize("who", ["nobody", "wrong", "revoked", "admin"])
async def test_who_may_not_ask_is_not_told_that_the_server_is_busy(door: _Door, who: str) -> None:
    assert door.says(who) is None


async def test_who_may_not_ask_takes_no_place_from_those_who_may(door: _Door) -> None:
    for _ in range(100):
        door.says("nobody")
    assert door.admission.refusal_unread(Priority.INTERACTIVE, "another key") is None


async def test_what_is_too_large_is_left_to_who_says_so(door: _Door) -> None:
    assert door.says("infer", size=GateSettings().max_bytes + 1) is None
