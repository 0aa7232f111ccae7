"""Ports that must be free before something is started on them."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from collections.abc import Sequence
from typing import Any

import psutil

from fovea_server.errors import StartError


def check_all_free(wanted: Sequence[tuple[str, int, str]]) -> None:
    """Raise StartError, naming every port that is in the way, unless each (host, port, purpose) can be bound."""
    purposes: dict[int, str] = {}
    problems = []
    for host, port, purpose in wanted:
        if port in purposes:
            problems.append(f"port {port} is wanted for {purposes[port]} and for {purpose}")
        elif problem := _problem(host, port):
            problems.append(f"port {port} for {purpose} cannot be used: {problem}")
        purposes.setdefault(port, purpose)
    if problems:
        raise StartError("; ".join(problems), hint=_hint([port for _, port, _ in wanted]))


def hold(wanted: Sequence[tuple[str, int, str]]) -> list[socket.socket]:
    """Keep each (host, port, purpose) for this server as long as what is returned stays open.

    Ports opened with SO_REUSEPORT take in every process of this user that does the same, so that two servers started
    in the same moment would share them. A name in the abstract namespace of Unix sockets, which like ports belongs to
    the network namespace and ends with its process, can be had only once. Raises StartError.
    """
    held = []
    for host, port, purpose in wanted:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        held.append(name)
        try:
            name.bind(f"\0fovea-{host}-{port}")
        except OSError as error:
            for each in held:
                each.close()
            problem = f"port {port} for {purpose} cannot be used: another `fovea serve` has it"
            raise StartError(problem, hint=_hint([taken for _, taken, _ in wanted])) from error
    return held


def bind(host: str, port: int, purpose: str, *, shared: bool = False) -> list[socket.socket]:
    """A socket at each address of the host, but for those that this machine does not have, if there are others.

    `shared` with SO_REUSEPORT: the kernel then spreads connections over processes. Raises StartError.
    """
    try:
        return _bound(host, port, shared)
    except OSError as error:
        problem = f"port {port} for {purpose} cannot be used: {_why(host, port, error)}"
        raise StartError(problem, hint=_hint([port])) from error


def _bound(host: str, port: int, shared: bool = False) -> list[socket.socket]:
    said = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    missing = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(said):
            try:
                bound.append(_bound_to(address, socket.socket(family, kind, protocol), shared))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
        if missing and not bound:
            raise missing
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _bound_to(address: Any, one: socket.socket, shared: bool) -> socket.socket:
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def free_ports(count: int) -> list[int]:
    """Ports that are free on loopback now, as the kernel chooses them; held together, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _problem(host: str, port: int) -> str | None:
    """Why nothing can listen there; None if something can."""
    try:
        for each in _bound(host, port):
            each.close()
    except OSError as error:
        return _why(host, port, error)
    return None


def _hint(taken: Sequence[int]) -> str:
    """A line of options with ports that are free."""
    options = ("--rest-port", "--grpc-port", "--triton-grpc-port", "--triton-metrics-port")
    free = _free_besides(taken, len(options))
    line = " ".join(f"{option} {port}" for option, port in zip(options, free, strict=True))
    return f"stop what uses it, or use others: fovea serve {line}"


def _free_besides(taken: Sequence[int], count: int) -> list[int]:
    """The first from 9080 up: easier to remember than what the kernel would choose."""
    free = (port for port in range(9080, 65536) if port not in taken and _problem("127.0.0.1", port) is None)
    return list(itertools.islice(free, count))


def _why(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"{host} is no address of this machine"
    holder = _holder(port)
    if holder is None:
        return str(error.strerror or error).lower()
    return f"process {holder.pid} ({holder.name()}) listens on it"


def _holder(port: int) -> psutil.Process | None:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,):
                return psutil.Process(connection.pid)
    except psutil.Error:
        return None
    return None
