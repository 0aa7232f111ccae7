"""Write a model's folders where nobody serves them yet, and move them to where they are served."""

from __future__ import annotations

import contextlib
import hashlib
import json
import py_compile
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from fovea_pipelines import triton_folders
from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadPackage, PipelineError
from fovea_pipelines.package import ModelPackage, contract_of
from fovea_pipelines.triton_folders import ANALYZE, Network, ensemble_name

_COMMENT = "# The package of one model. Its SHA-256 is the model's identity, and every answer carries it.\n"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_TAKEN = re.compile(rf"{ANALYZE}\Z|preprocess_|classify_")  # what Triton's other models are called
PREFIX = "draft-model-"  # of folders beside a repository that hold what is not served yet, or not any more


def is_name(name: str) -> bool:
    """Whether a model may be called so."""
    return bool(_NAME.match(name)) and not _TAKEN.match(name)


def holds(repository: Path, name: str) -> bool:
    """Whether a model of that name is there, or what is left of one."""
    return any((repository / folder).exists() for folder in _own_folders(name))


def _own_folders(name: str) -> list[str]:
    return [name, ensemble_name(name)]


def preprocess_name(contract: Contract, repositories: Iterable[Path]) -> str:
    """The preprocessing model that does this already, in any repository; else a name for a new one."""
    for repository in repositories:
        for path in sorted(repository.glob("*/contract.toml")):
            if contract_of(path.parent) == contract:
                return path.parent.name
    height, width = contract.output_height, contract.output_width
    size = str(height) if height == width else f"{height}x{width}"
    said = json.dumps(contract.to_mapping(), sort_keys=True)
    return f"preprocess_{size}_{hashlib.sha256(said.encode()).hexdigest()[:8]}"


class Draft:
    """The folders of one model below `root`, a folder of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self.folder = root / name
        (self.folder / "1").mkdir(parents=True)

    @property
    def onnx(self) -> Path:
        return self.folder / "1/model.onnx"

    def describe(self, table: Mapping[str, Any]) -> ModelPackage:
        """Write `model.toml`, again if need be, and read the package that it makes."""
        content = _COMMENT + tomli_w.dumps(table)
        (self.folder / "model.toml").write_text(content, encoding="utf-8")
        return ModelPackage.read(self.folder)

    def write_triton_folders(self, package: ModelPackage, *, shared: bool) -> None:
        """Configurations for every kind of machine; the preprocessing only where it is not there already."""
        network = Network.of(package)
        triton_folders.write(triton_folders.network(network), self.folder)
        _compile(self.folder)
        ensemble = self._root / network.ensemble
        triton_folders.write(triton_folders.ensemble(network), ensemble)
        _compile(ensemble)
        if not shared:
            folder = self._root / package.preprocess
            triton_folders.write(triton_folders.preprocess(folder.name, network.height, network.width), folder)
            contract = tomli_w.dumps(package.contract.to_mapping())
            comment = "# What this model does to an image: the [contract] of every package that names it.\n"
            (folder / "contract.toml").write_text(comment + contract, encoding="utf-8")
            _compile(folder)

    def move_to(self, repository: Path) -> ModelPackage:
        """Into the repository, the model's own folder last: who looks meanwhile sees all of the model or nothing."""
        names = sorted((path.name for path in self._root.iterdir()), key=lambda name: name == self.folder.name)
        if taken := [name for name in names if (repository / name).exists()]:
            raise BadPackage(f"{repository} has {', '.join(taken)} already")
        try:
            repository.mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.move(self._root / name, repository / name)
        except OSError as error:
            with contextlib.suppress(PipelineError):
                remove(repository, names)
            raise PipelineError(f"{repository} cannot be written: {error.strerror}") from error
        return ModelPackage.read(repository / self.folder.name)


def _compile(model: Path) -> None:
    """Python would, when Triton loads the model: and Triton, seeing a new file, would then load it a second time."""
    for module in (model / "1").glob("*.py"):
        py_compile.compile(str(module))


def remove(repository: Path, names: Iterable[str]) -> None:
    """Folders of the repository; what is not there is none of them. Raises a PipelineError that names the first.

    All leave the repository before any is deleted: whatever happens meanwhile, no name is left half there.
    """
    names = list(names)
    try:
        if not repository.is_dir():
            return
        out_of_sight = Path(tempfile.mkdtemp(prefix=PREFIX, dir=repository.parent))
        try:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    (repository / name).rename(out_of_sight / name)
        finally:
            shutil.rmtree(out_of_sight)
    except OSError as error:
        raise PipelineError(f"{names[0]} cannot be removed: {error.strerror}") from error


def sweep(state: Path) -> None:
    """Delete what commands that were killed left beside the repository. Only for who is alone there."""
    for left in state.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def folders_named(repository: Path, name: str) -> list[str]:
    """As `folders_of`; where nothing can be read of the package, what goes by its name."""
    package = _readable(repository / name)
    return folders_of(package) if package else _own_folders(name)


def folders_of(package: ModelPackage) -> list[str]:
    """What the repository of this package holds for it alone, its own folder first: without it nothing is served.

    Other packages that cannot be read are not served, and share nothing.
    """
    repository = package.folder.parent
    paths = [path.parent for path in repository.glob("*/model.toml") if path.parent != package.folder]
    others = [other for other in map(_readable, paths) if other]
    alone = [] if any(other.preprocess == package.preprocess for other in others) else [package.preprocess]
    return [package.folder.name, package.ensemble, *alone]


def _readable(folder: Path) -> ModelPackage | None:
    try:
        return ModelPackage.read(folder)
    # Besides what is checked, a table may lack a key or hold something else under it.
    except (PipelineError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return None
