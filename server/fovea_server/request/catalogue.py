"""The models that can be asked for, by name; they come and go while requests are being answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from fovea_server.domain import Model
from fovea_server.errors import UnknownModel


async def _nobody_else() -> None:
    return


class Catalogue:
    """The first model is the default.

    `everywhere` is awaited after each change: it returns once the other processes of this server answer from the
    catalogue as it now is, and none of them uses what has left it.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = {model.identity.name: model for model in models}
        self._borrowed: Counter[str] = Counter()
        self._returned = asyncio.Event()
        self.everywhere: Callable[[], Awaitable[None]] = _nobody_else

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    @property
    def default(self) -> Model:
        return next(iter(self))

    @contextlib.contextmanager
    def borrow(self, names: Sequence[str], degraded: bool = False) -> Iterator[list[Model]]:
        """The models of these names, in use until the context ends. Where none is named it is the default, or, in an
        overload, the cheaper one that the default's package names, if that is served.

        Raises UnknownModel.
        """
        models = [self._get(name) for name in names] or [self._cheaper if degraded else self.default]
        self._borrowed.update(model.identity.name for model in models)
        try:
            yield models
        finally:
            self._borrowed.subtract(model.identity.name for model in models)
            self._returned.set()

    @property
    def _cheaper(self) -> Model:
        return self._models.get(self.default.degrade_to, self.default)

    def add(self, model: Model) -> None:
        self._models[model.identity.name] = model

    async def remove(self, name: str) -> None:
        """Give it to nobody any more, and wait until all who have it are done."""
        self._models.pop(name)
        await self.everywhere()
        await self.until_returned({name})

    def follow(self, models: Sequence[Model]) -> set[str]:
        """Be as another process of this server says it is; the names of what has left."""
        left = self._models.keys() - {model.identity.name for model in models}
        self._models = {model.identity.name: model for model in models}
        return left

    async def until_returned(self, names: Collection[str]) -> None:
        """Wait until all who have models of these names are done."""
        for name in names:
            while self._borrowed[name]:
                self._returned.clear()
                await self._returned.wait()
            del self._borrowed[name]

    def _get(self, name: str) -> Model:
        if name not in self._models:
            raise UnknownModel(f"there is no model {name[:80]!r}; served: {', '.join(self._models)}")
        return self._models[name]
