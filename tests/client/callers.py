"""The four clients under one roof, so that one test is true of each."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.client.scripted import SERVERS, Script

from fovea_client import AsyncClient, AsyncGrpcClient, Client, GrpcClient

CLIENTS: dict[str, tuple[str, Any]] = {
    "Client": ("rest", Client),
    "AsyncClient": ("rest", AsyncClient),
    "GrpcClient": ("grpc", GrpcClient),
    "AsyncGrpcClient": ("grpc", AsyncGrpcClient),
}


def ask(name: str, script: Script, verb: str, *args: Any, retries: int = 3, **options: Any) -> Any:
    """What the client answers when its server follows the script."""
    with SERVERS[CLIENTS[name][0]](script) as address:
        return ask_at(name, address, verb, *args, retries=retries, **options)


def ask_at(name: str, address: str, verb: str, *args: Any, retries: int = 3, **options: Any) -> Any:
    make = CLIENTS[name][1]
    if not name.startswith("Async"):
        with make(address, retries=retries) as client:
            return getattr(client, verb)(*args, **options)

    async def asked() -> Any:
        async with make(address, retries=retries) as client:
            return await getattr(client, verb)(*args, **options)

    return asyncio.run(asked())
