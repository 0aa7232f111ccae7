"""All settings of a server, composed from those of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fovea_server.access.policy import AccessSettings
from fovea_server.edge.listen import EdgeSettings
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.request.admission import AdmissionSettings
from fovea_server.request.conversion import ConversionSettings
from fovea_server.request.gate import GateSettings
from fovea_server.request.quarantine import QuarantineSettings
from fovea_server.studies.settings import ExperimentSettings
from fovea_server.triton import tuned
from fovea_server.triton.crash_loop import CrashLoopSettings
from fovea_server.triton.process import TritonSettings


@dataclass(frozen=True)
class Settings:
    """`repository` holds the models that are always served, `state` what is added at run time; `drain_timeout` is how
    many seconds a stopping server gives what it is still answering; `device` is "cpu", "cuda", or "auto"; `tuned` is
    "auto", "off", or a file of settings that `fovea tune` wrote; `workers` is how many gateway processes share the
    ports and the limits."""

    repository: Path
    state: Path
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    triton: TritonSettings = field(default_factory=TritonSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    conversion: ConversionSettings = field(default_factory=ConversionSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)
    feature_log: FeatureLogSettings = field(default_factory=FeatureLogSettings)
    experiments: ExperimentSettings = field(default_factory=ExperimentSettings)
    crash_loop: CrashLoopSettings = field(default_factory=CrashLoopSettings)
    drain_timeout: float = 20.0
    device: str = "auto"
    tuned: str = tuned.AUTO
    workers: int = 1
    log_level: str = "info"
