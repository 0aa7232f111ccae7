"""Questions and models made by code."""

from __future__ import annotations

import time
from typing import Any

from fovea_server.domain import Deadline, Model, ModelIdentity, Question


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
