"""Servers are found by their sockets; what a killed one left behind is cleared away, and nobody else's is touched."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fovea_server import control_sockets
from fovea_server.cli.running import Server
from fovea_server.errors import StartError


def test_a_socket_is_found_as_soon_as_it_is_there_and_is_its_owners_alone(tmp_path: Path) -> None:
    path, bound = control_sockets.bind(tmp_path)
    with bound:
        assert path == tmp_path / f"control-{os.getpid()}.sock"
        assert list(control_sockets.of_running_servers(tmp_path)) == [path]
        assert path.stat().st_mode & 0o777 == 0o600
    assert path.exists()


def test_a_server_of_another_container_with_the_same_process_id_keeps_its_socket(tmp_path: Path) -> None:
    sockets = [control_sockets.bind(tmp_path) for _ in range(3)]
    try:
        paths = [path for path, _ in sockets]
        assert sorted(control_sockets.of_running_servers(tmp_path)) == sorted(paths)
        assert {Server(path).pid for path in paths} == {os.getpid()}
    finally:
        for _, bound in sockets:
            bound.close()


def test_the_socket_of_a_killed_server_with_the_same_process_id_is_replaced(tmp_path: Path) -> None:
    left, killed = control_sockets.bind(tmp_path)
    killed.close()
    path, bound = control_sockets.bind(tmp_path)
    with bound:
        assert list(control_sockets.of_running_servers(tmp_path)) == [path] == [left]


def test_what_a_killed_server_left_behind_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "control-1.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(left))
    assert list(control_sockets.of_running_servers(tmp_path)) == []
    assert not left.exists()


def test_a_path_that_linux_does_not_take_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="Linux takes 107") as raised:
        control_sockets.bind(tmp_path / ("x" * 120))
    assert "--state" in raised.value.hint
