"""Decide whether callers need a key: not on loopback, everywhere else."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from fovea_server.access.guard import Guard
from fovea_server.access.key_file import BadKeyFile, KeyFile
from fovea_server.errors import StartError


@dataclass(frozen=True)
class AccessSettings:
    """`require_keys` asks for them on loopback too; `insecure` lets everybody in wherever the server listens."""

    require_keys: bool = False
    insecure: bool = False


def asks_for_keys(settings: AccessSettings, host: str) -> bool:
    return not settings.insecure and (settings.require_keys or not is_loopback(host))


def guard(settings: AccessSettings, host: str, state: Path) -> Guard | None:
    """Who asks callers for keys; None where nobody has to. Raises StartError where no key would open."""
    if settings.require_keys and settings.insecure:
        raise StartError("--require-keys and --insecure contradict each other", hint="give one of them")
    if not asks_for_keys(settings, host):
        return None
    try:
        guard = Guard(KeyFile(state))
    except BadKeyFile as error:
        raise StartError(str(error), hint="restore it, or remove it and make new keys: fovea keys create") from None
    if not guard.good_keys:
        raise StartError(
            f"callers of {host} need an API key, and there is no good one in {state}",
            hint=f"make one: fovea keys create --scope infer --state {state}; or let everybody in: --insecure",
        )
    return guard


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; a name is, if all its addresses are."""
    try:
        addresses = {said[4][0] for said in socket.getaddrinfo(host or "0.0.0.0", None)}  # noqa: S104
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)
