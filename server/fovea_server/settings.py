"""All settings of a server, composed from those of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fovea_server.edge.listen import EdgeSettings
from fovea_server.request.admission import AdmissionSettings
from fovea_server.request.gate import GateSettings
from fovea_server.triton.process import TritonSettings


@dataclass(frozen=True)
class Settings:
    """`drain_timeout` is how many seconds a stopping server gives what it is still answering."""

    repository: Path
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    triton: TritonSettings = field(default_factory=TritonSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    drain_timeout: float = 20.0
