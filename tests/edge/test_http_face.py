"""A face that cannot listen says why, and what others have stays theirs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from tests.ports import free_ports

from fovea_server import control_sockets
from fovea_server.edge.http_face import ControlFace, RestFace
from fovea_server.edge.listen import EdgeSettings
from fovea_server.errors import StartError


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def test_a_port_that_was_taken_since_it_was_looked_at_is_a_start_error() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StartError, match=f"port {port} for REST") as raised:
        await RestFace(_nothing, EdgeSettings("127.0.0.1", port, port)).open()
    assert "--rest-port" in raised.value.hint


async def test_two_servers_with_one_process_id_and_one_state_folder_keep_out_of_each_others_way(tmp_path: Path) -> None:
    """As in two containers that share the folder."""
    faces = [ControlFace(_nothing, tmp_path) for _ in range(2)]  # type: ignore[arg-type]
    for face in faces:
        await face.open()
    first, second = tmp_path / f"control-{os.getpid()}.sock", tmp_path / f"control-2-{os.getpid()}.sock"
    assert set(control_sockets.of_running_servers(tmp_path)) == {first, second}
    await faces[0].close(0)
    assert list(control_sockets.of_running_servers(tmp_path)) == [second]
    await faces[1].close(0)
    await faces[1].close(0)
    assert not list(tmp_path.iterdir())
