"""The models that can be asked for, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fovea_server.domain import Model
from fovea_server.errors import UnknownModel


class Catalogue:
    """The first model is the default."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = {model.identity.name: model for model in models}
        self.default = models[0]

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, name: str | None) -> Model:
        """The model of that name, or the default where none is named; raises UnknownModel."""
        if not name:
            return self.default
        if name not in self._models:
            raise UnknownModel(f"there is no model {name[:80]!r}; served: {', '.join(self._models)}")
        return self._models[name]
