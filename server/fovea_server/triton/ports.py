"""Ports that must be free before something is started on them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import psutil

from fovea_server.errors import StartError


def check_all_free(wanted: Sequence[tuple[str, int, str]]) -> None:
    """Raise StartError unless each (host, port, purpose) can be bound, and no port is wanted twice."""
    purposes: dict[int, str] = {}
    for host, port, purpose in wanted:
        if port in purposes:
            raise StartError(
                f"port {port} is wanted for {purposes[port]} and for {purpose}",
                hint="give each its own (see `fovea serve --help`)",
            )
        purposes[port] = purpose
        check_free(host, port, purpose)


def check_free(host: str, port: int, purpose: str) -> None:
    """Raise StartError, naming who holds the port where this user may know, unless it can be bound."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise StartError(f"{host} is no address of this machine", hint="127.0.0.1 and 0.0.0.0 are") from None
        except OSError as error:
            raise StartError(
                f"port {port} for {purpose} cannot be used: {_why(port, error)}",
                hint="stop what uses it, or choose another port (see `fovea serve --help`)",
            ) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _why(port: int, error: OSError) -> str:
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
