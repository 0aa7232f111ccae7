"""What a follower is told: whether the server is ready, and which models it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fovea_server.domain import Model, ModelIdentity
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Readiness, Standing


@dataclass(frozen=True)
class State:
    """All of it, every time: a follower needs to know nothing of what was said before."""

    standing: Standing
    models: tuple[Model, ...]

    @classmethod
    def of(cls, readiness: Readiness, catalogue: Catalogue) -> State:
        return cls(readiness.standing, tuple(catalogue))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> State:
        return cls(Standing(**said["standing"]), tuple(_model(model) for model in said["models"]))


def _model(said: Mapping[str, Any]) -> Model:
    return Model(**{**said, "identity": ModelIdentity(**said["identity"]), "labels": tuple(said["labels"])})
