"""Ports of a server whose processes share them are its own all the same."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from tests.ports import free_ports

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


def _both_families_here() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _taken_over_ipv6(port: int) -> Iterator[None]:
    """Of all addresses, only those of the sixth version."""
    if not _both_families_here():
        pytest.skip("this machine has no IPv6")
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", port))
        taken.listen()
        yield


def test_a_port_that_is_taken_over_one_of_the_hosts_addresses_is_not_free() -> None:
    (port,) = free_ports(1)
    with _taken_over_ipv6(port), pytest.raises(StartError, match=f"port {port} for REST cannot be used: process"):
        ports.check_all_free([("", port, "REST")])


def test_what_was_bound_before_an_address_that_is_taken_is_let_go() -> None:
    (port,) = free_ports(1)
    with _taken_over_ipv6(port):
        with pytest.raises(StartError, match=f"port {port} for REST cannot be used"):
            ports.bind("", port, "REST")
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(StartError, match=r"nowhere\.invalid is no address of this machine"):
        ports.bind("nowhere.invalid", 1, "REST")
    with pytest.raises(StartError, match="port 9 for REST cannot be used"):
        ports.bind("192.0.2.1", 9, "REST")  # an address of nobody's (RFC 5737)


def test_a_family_that_this_machine_leaves_out_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    elsewhere = real("192.0.2.1", 0, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: elsewhere + real(*given, **named))
    (port,) = free_ports(1)
    (bound,) = ports.bind("127.0.0.1", port, "REST")
    with bound:
        assert bound.getsockname() == ("127.0.0.1", port)
