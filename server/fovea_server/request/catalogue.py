"""The models that can be asked for, by name; they come and go while requests are being answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

from fovea_server.domain import Model
from fovea_server.errors import UnknownModel


class Catalogue:
    """The first model is the default."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = {model.identity.name: model for model in models}
        self._borrowed: Counter[str] = Counter()
        self._returned = asyncio.Event()

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    @property
    def default(self) -> Model:
        return next(iter(self))

    @contextlib.contextmanager
    def borrow(self, names: Sequence[str]) -> Iterator[list[Model]]:
        """The models of these names, or the default where none is named, in use until the context ends.

        Raises UnknownModel.
        """
        models = [self._get(name) for name in names] or [self.default]
        self._borrowed.update(model.identity.name for model in models)
        try:
            yield models
        finally:
            self._borrowed.subtract(model.identity.name for model in models)
            self._returned.set()

    def serves(self, name: str) -> bool:
        return name in self._models

    def loaded(self) -> list[str]:
        """All that can be asked for."""
        return list(self._models)

    def add(self, model: Model) -> None:
        self._models[model.identity.name] = model

    async def remove(self, name: str) -> None:
        """Give it to nobody any more, and wait until all who have it are done."""
        self._models.pop(name)
        while self._borrowed[name]:
            self._returned.clear()
            await self._returned.wait()
        del self._borrowed[name]

    def _get(self, name: str) -> Model:
        if name not in self._models:
            raise UnknownModel(f"there is no model {name[:80]!r}; served: {', '.join(self._models)}")
        return self._models[name]
