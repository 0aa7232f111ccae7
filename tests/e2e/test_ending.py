"""A server whose end does not go smoothly leaves nothing behind all the same."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
from tests.e2e.served import Served


async def test_what_cannot_be_removed_keeps_nothing_else_from_being_stopped(own_server: Served) -> None:
    family = psutil.Process(own_server.process.pid).children(recursive=True)
    (control,) = own_server.state.glob("control-*.sock")
    control.unlink()
    control.mkdir()
    own_server.process.send_signal(signal.SIGTERM)
    assert own_server.process.wait(30) == 1
    assert "Is a directory" in own_server.log
    assert "stopping triton" in own_server.log
    assert not psutil.wait_procs(family, timeout=10)[1]
    assert not list(Path("/dev/shm").glob(f"fovea_{own_server.process.pid}_*"))
