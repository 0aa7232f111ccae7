"""Where the two faces listen."""

from __future__ import annotations

from dataclasses import dataclass, field

from fovea_server.edge.bounded_connection import ConnectionLimits
from fovea_server.edge.tls import TlsSettings


@dataclass(frozen=True)
class EdgeSettings:
    host: str = "127.0.0.1"
    rest_port: int = 8080
    grpc_port: int = 8081
    tls: TlsSettings | None = None
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
