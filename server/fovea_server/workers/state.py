"""What a follower is told: whether the server is ready, and which models it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fovea_server.domain import Model, ModelIdentity
from fovea_server.request.catalogue import Catalogue, versioned
from fovea_server.request.readiness import Phase, Readiness, Standing


@dataclass(frozen=True)
class State:
    """All of it, every time: a follower needs to know nothing of what was said before."""

    standing: Standing
    models: tuple[Model, ...]  # every version that is loaded
    in_service: tuple[str, ...]  # NAME@VERSION, the default first

    @classmethod
    def of(cls, readiness: Readiness, catalogue: Catalogue) -> State:
        in_service = tuple(versioned(model.identity) for model in catalogue)
        return cls(readiness.standing, catalogue.loaded, in_service)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> State:
        standing = Standing(**{**said["standing"], "phase": Phase(said["standing"]["phase"])})
        return cls(standing, tuple(_model(model) for model in said["models"]), tuple(said["in_service"]))


def _model(said: Mapping[str, Any]) -> Model:
    return Model(**{**said, "identity": ModelIdentity(**said["identity"]), "labels": tuple(said["labels"])})
