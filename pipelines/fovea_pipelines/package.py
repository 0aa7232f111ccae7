"""A model package: `model.toml`, the immutable description whose digest is the model's identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fovea_pipelines import toml
from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadPackage, MissingArtefact

CPU_CONFIG = "configs/cpu.pbtxt"  # of a model, for a Triton that is told --model-config-name=cpu


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
class BestClass:
    """The class that must win, and its score within a tolerance."""

    index: int
    score: float
    tolerance: float


@dataclass(frozen=True)
class Direction:
    """The embedding, an .npy file of FP32 (features,), and the cosine to it that an answer must reach."""

    file: Path
    least_cosine: float


@dataclass(frozen=True)
class Golden:
    """An image whose answer is known: what the model must say before it may serve."""

    image: Path
    expected: BestClass | Direction


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
        package = cls(folder, _toml(path), f"sha256:{sha256_of(path)}")
        package._check()
        return package

    @property
    def name(self) -> str:
        return str(self.table["name"])

    @property
    def network(self) -> str:
        """The Triton model that runs the network, which is called as its folder is: NAME, or NAME@VERSION."""
        return self.folder.name

    @property
    def version(self) -> str:
        """Which of the models of this name it is, "1" for the first."""
        return str(self.table["version"])

    @property
    def ensemble(self) -> str:
        """What in Triton takes encoded bytes and answers with this model's outputs: an ensemble, or one process."""
        return str(self.table["ensemble"])

    @property
    def is_in_one_on_a_cpu(self) -> bool:
        """Whether one process there takes encoded bytes and answers with this model's outputs, without an ensemble; not
        so of a model that was added before there was that."""
        return (self.folder.parent / self.ensemble / CPU_CONFIG).is_file()

    @cached_property
    def contract(self) -> Contract:
        return Contract.from_mapping(self.table["contract"])

    @property
    def preprocess(self) -> str:
        """The Triton model that does what the contract says; packages of one contract share it."""
        return str(self.table["preprocess"])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The class names, in the order of the scores; none for a network that only embeds."""
        if "labels" not in self.table:
            return ()
        path = self.folder / str(self.table["labels"]["file"])
        return tuple(path.read_text(encoding="utf-8").splitlines())

    @property
    def features(self) -> int:
        """How many numbers the embedding has."""
        return int(self.table["embedding"]["features"])

    @property
    def artefacts(self) -> dict[str, Artefact]:
        """By name: "onnx", the graph in 32-bit floats, and "int8" where the network has an 8-bit form."""
        return {
            name: Artefact(self.folder / entry["file"], entry["sha256"])
            for name, entry in self.table["artefacts"].items()
        }

    @property
    def onnx(self) -> Artefact:
        """The graph in 32-bit floats, which every other form is made of."""
        return self.artefacts["onnx"]

    @property
    def accuracy(self) -> dict[str, float]:
        """Top-1 by precision, as far as it was measured."""
        return {precision: entry["top_1"] for precision, entry in self.table.get("precisions", {}).items()}

    @property
    def served_in(self) -> str | None:
        """The one precision that it is always served in; None where that is for whoever serves it to say."""
        served = self.table.get("served_in")
        return None if served is None else str(served)

    @property
    def degrade_to(self) -> str:
        """The cheaper model that may answer instead in an overload; "" for none."""
        return str(self.table.get("overload", {}).get("degrade_to", ""))

    @property
    def golden(self) -> Golden:
        entry = self.table["golden"]
        image = self.folder / entry["image"]
        if "embedding" in entry:
            return Golden(image, Direction(self.folder / entry["embedding"], entry["least_cosine"]))
        return Golden(image, BestClass(entry["index"], entry["score"], entry["tolerance"]))

    def _check(self) -> None:
        path = self.folder / "model.toml"
        for key in ("name", "version", "preprocess", "ensemble", "contract", "embedding", "artefacts", "golden"):
            if key not in self.table:
                raise BadPackage(f"{path} lacks `{key}`")
        if "onnx" not in self.table["artefacts"]:
            raise BadPackage(f"{path} lacks `artefacts.onnx`")
        for file in self._files():
            if not file.is_file():
                raise BadPackage(f"{path} names {file.name}, which is not there")
        if "labels" in self.table and len(self.labels) != (declared := self.table["labels"]["count"]):
            raise BadPackage(f"{path}: {len(self.labels)} labels in the file, {declared} declared")
        _ = self.contract

    def _files(self) -> list[Path]:
        """What the description names besides artefacts, which may still have to be built."""
        golden = self.golden
        files = [golden.image, *([golden.expected.file] if isinstance(golden.expected, Direction) else [])]
        return [*files, *([self.folder / self.table["labels"]["file"]] if "labels" in self.table else [])]


def contract_of(preprocess: Path) -> Contract:
    """The contract that a preprocessing model, the folder `preprocess`, carries out."""
    path = preprocess / "contract.toml"
    if not path.is_file():
        raise BadPackage(f"{path} does not exist; a preprocessing model is described by its contract.toml")
    return Contract.from_mapping(_toml(path))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return toml.loads(path.read_bytes().decode())
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPackage(f"{path} is not valid TOML: {error}") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
