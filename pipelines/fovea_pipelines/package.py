"""A model package: `model.toml`, the immutable description whose digest is the model's identity."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadPackage, MissingArtefact

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Artefact:
    """A built file: where it lies, and what its content must hash to (SHA-256, hexadecimal)."""

    path: Path
    sha256: str

    def check(self) -> None:
        """Raise if the file is missing or is not the one the package describes."""
        if not self.path.is_file():
            raise MissingArtefact(f"{self.path} is not built", hint="build it with `fovea models build`")
        found = sha256_of(self.path)
        if found != self.sha256:
            raise BadPackage(
                f"{self.path} has SHA-256 {found[:12]}…; model.toml says {self.sha256[:12]}…",
                hint="build it again with `fovea models build --force`",
            )


@dataclass(frozen=True)
class Golden:
    """An image whose answer is known: what the model must say before it may serve."""

    image: Path
    index: int
    score: float
    tolerance: float


@dataclass(frozen=True)
class ModelPackage:
    """One model as its folder describes it: `model.toml`, labels, golden image, artefacts."""

    folder: Path
    table: Mapping[str, Any]
    digest: str

    @classmethod
    def read(cls, folder: Path) -> ModelPackage:
        """Read `folder/model.toml`; what is wrong with it is said by field."""
        path = folder / "model.toml"
        if not path.is_file():
            raise BadPackage(f"{path} does not exist; a model folder is described by its model.toml")
        content = path.read_bytes()
        try:
            table = tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadPackage(f"{path} is not valid TOML: {error}") from error
        package = cls(folder, table, "sha256:" + hashlib.sha256(content).hexdigest())
        package._check()
        return package

    @property
    def name(self) -> str:
        return str(self.table["name"])

    @property
    def version(self) -> str:
        """The version folder Triton serves, "1" for the first."""
        return str(self.table["version"])

    @property
    def ensemble(self) -> str:
        """The Triton ensemble that takes encoded bytes and answers with this model's outputs."""
        return str(self.table["ensemble"])

    @cached_property
    def contract(self) -> Contract:
        return Contract.from_mapping(self.table["contract"])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class names, in the order of the scores."""
        path = self.folder / str(self.table["labels"]["file"])
        return tuple(path.read_text(encoding="utf-8").splitlines())

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        return tuple(
            Artefact(self.folder / entry["file"], entry["sha256"]) for entry in self.table["artefacts"].values()
        )

    @property
    def golden(self) -> Golden:
        entry = self.table["golden"]
        return Golden(self.folder / entry["image"], entry["index"], entry["score"], entry["tolerance"])

    def _check(self) -> None:
        path = self.folder / "model.toml"
        for key in ("name", "version", "ensemble", "contract", "labels", "artefacts", "golden"):
            if key not in self.table:
                raise BadPackage(f"{path} lacks `{key}`")
        for file in (self.folder / str(self.table["labels"]["file"]), self.golden.image):
            if not file.is_file():
                raise BadPackage(f"{path} names {file.name}, which is not there")
        declared = self.table["labels"]["count"]
        if len(self.labels) != declared:
            raise BadPackage(f"{path}: {len(self.labels)} labels in the file, {declared} declared")
        _ = self.contract


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
