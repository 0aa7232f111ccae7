"""Where the two faces listen, and what a caller's connection may take."""

from __future__ import annotations

from dataclasses import dataclass, field

from fovea_server.edge.tls import TlsSettings


@dataclass(frozen=True)
class ConnectionLimits:
    """Of each process.

    received_bytes  of bodies that are not whole yet, of all connections together
    idle_seconds    that a connection is kept for a next request
    dropped_bytes   a second that are read of large bodies of those who do not heed `Retry-After`
    """

    max_connections: int = 4096
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    received_bytes: int = 256_000_000
    idle_seconds: int = 75
    dropped_bytes: float = 128e6
    header_bytes: int = 32 * 1024
    headers: int = 100


@dataclass(frozen=True)
class EdgeSettings:
    host: str = "127.0.0.1"
    rest_port: int = 8080
    grpc_port: int = 8081
    tls: TlsSettings | None = None
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
