"""The models that can be asked for, by name; they come and go while requests are being answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from fovea_server.domain import Model, ModelIdentity
from fovea_server.errors import UnknownModel


async def _nobody_else() -> None:
    return


class Catalogue:
    """The first model is the default. A name leads to the version in service; NAME@VERSION to any that is loaded.

    `everywhere` is awaited after each change: it returns once the other processes of this server answer from the
    catalogue as it now is, and none of them uses what has left it.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._versions: dict[str, Model] = {}  # by NAME@VERSION
        self._current: dict[str, str] = {}  # from NAME to NAME@VERSION
        self._borrowed: Counter[str] = Counter()
        self._returned = asyncio.Event()
        self.everywhere: Callable[[], Awaitable[None]] = _nobody_else
        for model in models:
            self.add(model)

    def __iter__(self) -> Iterator[Model]:
        """Of each name the version in service."""
        return (self._versions[version] for version in self._current.values())

    @property
    def loaded(self) -> tuple[Model, ...]:
        """Every version that may be asked for, in service or not."""
        return tuple(self._versions.values())

    @property
    def default(self) -> Model:
        return next(iter(self))

    @contextlib.contextmanager
    def borrow(self, names: Sequence[str], degraded: bool = False) -> Iterator[list[Model]]:
        """The models of these names, in use until the context ends. Where none is named it is the default, or, in an
        overload, the cheaper one that the default's package names, if that is served.

        Raises UnknownModel.
        """
        models = [self._get(name) for name in names] or [self.cheaper if degraded else self.default]
        versions = [versioned(model.identity) for model in models]
        self._borrowed.update(versions)
        try:
            yield models
        finally:
            self._borrowed.subtract(versions)
            self._returned.set()

    @property
    def cheaper(self) -> Model:
        """Who answers for the default in an overload; the default itself where there is nobody else."""
        default = self.default
        return self._versions[self._current.get(default.degrade_to, versioned(default.identity))]

    def serves(self, name: str) -> bool:
        """Whether a model may be asked for by this name, NAME or NAME@VERSION."""
        return self._current.get(name, name) in self._versions

    def names(self) -> list[str]:
        """All by which a model may be asked for."""
        return [*self._current, *self._versions]

    def add(self, model: Model) -> None:
        """One more version; the first of its name is in service at once, every other once it is told to `take_over`."""
        version = versioned(model.identity)
        self._versions[version] = model
        self._current.setdefault(model.identity.name, version)

    def restate(self, model: Model) -> None:
        """Say something else of a version, unless it has left; who has it already goes on with what was said before."""
        if versioned(model.identity) in self._versions:
            self._versions[versioned(model.identity)] = model

    def take_over(self, identity: ModelIdentity) -> None:
        """From now on the name leads to this version; who has another finishes with it."""
        assert versioned(identity) in self._versions
        self._current[identity.name] = versioned(identity)

    def is_current(self, identity: ModelIdentity) -> bool:
        return self._current.get(identity.name) == versioned(identity)

    async def remove(self, identity: ModelIdentity) -> None:
        """Give this version to nobody any more, and wait until all who have it are done.

        The one in service takes the name with it.
        """
        version = versioned(identity)
        self._versions.pop(version)
        if self._current.get(identity.name) == version:
            del self._current[identity.name]
        await self.everywhere()
        await self.until_returned({version})

    def follow(self, loaded: Sequence[Model], in_service: Sequence[str]) -> set[str]:
        """Be as another process of this server says it is, `in_service` by NAME@VERSION; what has left, likewise."""
        models = {versioned(model.identity): model for model in loaded}
        left = self._versions.keys() - models.keys()
        self._versions = models
        self._current = {models[version].identity.name: version for version in in_service}
        return left

    async def until_returned(self, versions: Collection[str]) -> None:
        """Wait until all who have models of these versions (NAME@VERSION) are done."""
        for version in versions:
            while self._borrowed[version]:
                self._returned.clear()
                await self._returned.wait()
            del self._borrowed[version]

    def _get(self, name: str) -> Model:
        model = self._versions.get(self._current.get(name, name))
        if model is None:
            raise UnknownModel(f"there is no model {name[:80]!r}; served: {', '.join(self._current)}")
        return model


def versioned(identity: ModelIdentity) -> str:
    """NAME@VERSION."""
    return f"{identity.name}@{identity.version}"
