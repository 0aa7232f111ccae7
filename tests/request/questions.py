"""Questions, models, and a service of one model, made by code."""

from __future__ import annotations

import time
from typing import Any

from fovea_server.domain import Deadline, Model, ModelIdentity, Question
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion, ConversionSettings
from fovea_server.request.gate import Gate, GateSettings
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import InferenceEngine, Service


def a_service(engine: InferenceEngine, metrics: Metrics) -> Service:
    """Ready, with the default limits, over an engine that knows the model "alpha"."""
    readiness = Readiness()
    readiness.ready(1)
    conversion = Conversion(ConversionSettings(), GateSettings().max_pixels)
    parts = (Gate(GateSettings()), Catalogue([a_model("alpha")]), conversion, Admission(AdmissionSettings()))
    return Service(readiness, *parts, engine, metrics)


def a_question(identity: str = "a1", models: tuple[str, ...] = (), **more: Any) -> Question:
    return Question(identity, b"picture", models, 5, False, Deadline.after(10), time.monotonic(), **more)


def a_model(name: str, version: str = "1") -> Model:
    return Model(
        identity=ModelIdentity(name, version, f"sha256:{name}"),
        preprocess="preprocess_224",
        network=name,
        ensemble=f"classify_{name}",
        labels=("cat", "dog"),
        features=4,
        description="",
        licence="",
    )
