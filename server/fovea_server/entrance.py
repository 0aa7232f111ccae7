"""Where callers come in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fovea_server.access import policy
from fovea_server.access.guard import Guard
from fovea_server.edge import open_files
from fovea_server.edge.listen import EdgeSettings
from fovea_server.edge.tls import Certificates
from fovea_server.settings import Settings


@dataclass(frozen=True)
class Entrance:
    """Who asks callers for keys, the certificates shown to them, and the limits that hold here."""

    guard: Guard | None
    certificates: Certificates | None
    edge: EdgeSettings

    @classmethod
    def of(cls, settings: Settings) -> Entrance:
        """Raises StartError where no key would open, or a certificate cannot be used."""
        edge = settings.edge
        limits = replace(edge.connections, max_connections=open_files.allow(edge.connections.max_connections))
        return cls(
            guard=policy.guard(settings.access, edge.host, settings.state),
            certificates=Certificates(edge.tls) if edge.tls else None,
            edge=replace(edge, connections=limits),
        )
