"""Ports of a server whose processes share them are its own all the same."""

from __future__ import annotations

import socket

import pytest
from tests.conftest import free_ports

from fovea_server.errors import StartError
from fovea_server.triton import ports


def test_a_port_can_be_held_once_and_again_when_it_was_let_go() -> None:
    (port,) = free_ports(1)
    wanted = [("127.0.0.1", port, "REST")]
    held = ports.hold(wanted)
    with pytest.raises(StartError, match=f"port {port} for REST cannot be used: another `fovea serve` has it"):
        ports.hold(wanted)
    for each in held:
        each.close()
    for each in ports.hold(wanted):
        each.close()


def test_what_was_held_before_the_one_that_fails_is_let_go() -> None:
    one, other = free_ports(2)
    (held,) = ports.hold([("127.0.0.1", other, "gRPC")])
    with pytest.raises(StartError):
        ports.hold([("127.0.0.1", one, "REST"), ("127.0.0.1", other, "gRPC")])
    for each in (held, *ports.hold([("127.0.0.1", one, "REST")])):
        each.close()


def test_a_port_that_others_share_is_not_free() -> None:
    with socket.socket() as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(("127.0.0.1", 0))
        shared.listen()
        port = shared.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} for REST cannot be used: process"):
            ports.check_all_free([("127.0.0.1", port, "REST")])
