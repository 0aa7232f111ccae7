"""Which models are in service; take one in, or out, while the others go on answering."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from fovea_pipelines.errors import PipelineError
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.triton_folders import ANALYZE
from fovea_server.domain import Deadline, Model, ModelIdentity
from fovea_server.errors import FoveaError, ModelRefused, UnknownModel
from fovea_server.logs import get_logger
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.golden import Proof
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import InferenceEngine
from fovea_server.triton.repository import Repositories

_log = get_logger("models")
_LOADING = 60.0  # seconds that Triton may take to load a model, or to unload one


class Engine(InferenceEngine, Protocol):
    """Triton, which also loads and unloads."""

    async def load(self, name: str, timeout: float) -> None: ...
    async def unload(self, name: str, timeout: float) -> None: ...


class Roster:
    """The packages in service; `catalogue` is what callers see of them.

    in_one     whether one process does all the work for a package, decoding and network
    changing   is entered with the names of the models that leave, while models come and go, so that nobody takes their
               processes for lost
    engine_of  what runs a package's network on this machine, in a word
    """

    def __init__(
        self,
        repositories: Repositories,
        packages: list[ModelPackage],
        engine: Engine,
        readiness: Readiness,
        changing: Callable[[Collection[str]], AbstractContextManager[None]],
        engine_of: Callable[[ModelPackage], str],
        in_one: Callable[[ModelPackage], bool],
    ) -> None:
        self._repositories = repositories
        self._engine = engine
        self._readiness = readiness
        self._changing = changing
        self._engine_of = engine_of
        self._in_one = in_one
        self._packages = {package.network: package for package in packages}
        self._proofs = {package.network: Proof.of(self._model(package), package.golden) for package in packages}
        self._leaving: dict[str, ModelPackage] = {}  # out of service, and perhaps not out of Triton
        self.catalogue = Catalogue([proof.model for proof in self._proofs.values()])
        for package in packages:
            if repositories.versions.current(package.name) == package.version:
                self.catalogue.take_over(self._proofs[package.network].model.identity)
        self._lock = asyncio.Lock()
        self._write_ensemble()

    @property
    def ensembles(self) -> list[str]:
        """What Triton is to load when it starts; it loads what they are made of by itself."""
        return [*(package.ensemble for package in self._packages.values()), *self._of_all]

    async def verify(self) -> None:
        """Raise a FoveaError unless every model answers its golden image rightly."""
        for proof in list(self._proofs.values()):
            await proof.verify(self._engine)

    def name_engines(self) -> None:
        """Say anew what runs each model's network: only once it is loaded is it known whether its plan could be."""
        for network, proof in list(self._proofs.items()):
            try:
                named = self._proofs[network] = self._named(self._packages[network], proof)
            except (PipelineError, OSError) as error:
                _log.error("nobody knows what runs the model", model=network, reason=str(error))
                continue
            if named is not proof:
                self.catalogue.restate(named.model)

    def _named(self, package: ModelPackage, proof: Proof) -> Proof:
        engine, expected = self._engine_of(package), proof.model.engine
        if engine == expected:
            return proof
        _log.warning("the model runs on another engine", model=package.network, engine=engine, before=expected)
        return replace(proof, model=replace(proof.model, engine=engine))

    async def add(self, name: str) -> Model:
        """Take a model that lies among the added ones into service, once it has proved itself.

        `name` is NAME or NAME@VERSION. A further version of a model is loaded beside the one in service.
        Raises NotReady, or ModelRefused; what is served is then as it was.
        """
        async with self._lock:
            await self._readiness.settled(Deadline.after(_LOADING))
            if name in self._packages:
                raise ModelRefused(f"{name} is in service already")
            package, proof = await asyncio.to_thread(self._read, name)
            with self._changing(()):
                await self._load(package, proof)
            self._leaving.pop(name, None)
            model = self._proof(name).model
            self.catalogue.add(model)
            await self.catalogue.everywhere()
            _log.info("model added", model=name, digest=package.digest)
            return model

    async def take_over(self, name: str) -> Model:
        """Let a version that is loaded answer from now on. Who is being answered by another is still; that one stays.

        Raises UnknownModel.
        """
        async with self._lock:
            model = self._proof(name).model
            self.catalogue.take_over(model.identity)
            await self.catalogue.everywhere()
            _log.info("model took over", model=name, digest=model.identity.digest)
            return model

    async def remove(self, name: str) -> None:
        """Take a model out of service, once nobody uses it any more, and out of Triton.

        Raises NotReady, UnknownModel or ModelRefused. Where Triton was the one who refused, trying again goes on there.
        """
        async with self._lock:
            await self._readiness.settled(Deadline.after(_LOADING))
            if name not in self._leaving:
                await self.catalogue.remove(self._that_may_leave(name))
                self._leaving[name] = self._packages.pop(name)
                del self._proofs[name]
            package = self._leaving[name]
            with self._changing(list(self._not_needed_without(package))):
                await self._unload(package)
            del self._leaving[name]
            _log.info("model removed", model=name, digest=package.digest)

    def _that_may_leave(self, name: str) -> ModelIdentity:
        """Raises UnknownModel or ModelRefused."""
        identity = self._proof(name).model.identity
        if not self._repositories.was_added(name):
            raise ModelRefused(f"{name} was not added at run time; it belongs to {self._repositories.given.name}")
        if self.catalogue.is_current(identity) and self._versions_of(identity.name) > 1:
            raise ModelRefused(
                f"{name} is in service; let another version take over first: fovea models rollback {identity.name}"
            )
        return identity

    def _proof(self, name: str) -> Proof:
        if name not in self._proofs:
            raise UnknownModel(f"there is no model {name[:80]!r} in service")
        return self._proofs[name]

    def _versions_of(self, name: str) -> int:
        return sum(package.name == name for package in self._packages.values())

    def _read(self, name: str) -> tuple[ModelPackage, Proof]:
        try:
            package = self._repositories.added_package(name)
            return package, Proof.of(self._model(package), package.golden)
        except (PipelineError, OSError, ValueError) as error:
            raise ModelRefused(str(error)) from error

    async def _load(self, package: ModelPackage, proof: Proof) -> None:
        self._packages[package.network] = package
        try:
            await self._engine.load(package.ensemble, _LOADING)
            await proof.verify(self._engine)
            await self._load_ensemble_of_all()
            # Only now: who watches over Triton asks for every proof there is, however long loading takes.
            self._proofs[package.network] = self._named(package, proof)
        except BaseException as error:
            del self._packages[package.network]
            _log.warning("model refused", model=package.network, reason=str(error))
            with contextlib.suppress(ModelRefused):  # parts of it may never have been loaded
                await self._unload(package)
            if isinstance(error, FoveaError):
                raise ModelRefused(str(error)) from error
            raise

    async def _unload(self, package: ModelPackage) -> None:
        await self._load_ensemble_of_all()
        for name in self._not_needed_without(package):
            await self._engine.unload(name, _LOADING)

    async def _load_ensemble_of_all(self) -> None:
        self._write_ensemble()
        change = self._engine.load if self._of_all else self._engine.unload
        await change(ANALYZE, _LOADING)

    def _not_needed_without(self, package: ModelPackage) -> Iterator[str]:
        """What Triton has loaded for this model alone, the ensemble before what it is made of."""
        yield package.ensemble
        yield package.network
        others = list(self._packages.values())
        if all(other.preprocess != package.preprocess for other in others):
            yield package.preprocess
        for alone in () if self._of_all else filter(self._in_one, others):
            yield from (alone.network, alone.preprocess)

    @property
    def _of_all(self) -> list[str]:
        """The ensemble of all: one model is always asked by its own."""
        return [ANALYZE] if len(self._packages) > 1 else []

    def _write_ensemble(self) -> None:
        self._repositories.write_ensemble_of(list(self._packages.values()))

    def _model(self, package: ModelPackage) -> Model:
        return Model(
            identity=ModelIdentity(package.name, package.version, package.digest),
            preprocess=package.preprocess,
            network=package.network,
            ensemble=package.ensemble,
            labels=package.labels,
            features=package.features,
            description=str(package.table.get("description", "")),
            licence=str(package.table.get("source", {}).get("licence", "")),
            engine=self._engine_of(package),
            degrade_to=package.degrade_to,
            in_one=self._in_one(package),
        )
