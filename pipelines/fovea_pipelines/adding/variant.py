"""The same network under another name, always served in one precision: what an experiment compares it with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fovea_pipelines import precision as precisions
from fovea_pipelines.adding import draft
from fovea_pipelines.adding.add import Places
from fovea_pipelines.errors import BadPackage, PipelineError
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.triton_folders import ensemble_name


def add(package: ModelPackage, precision: str, name: str, places: Places) -> ModelPackage:
    """The package, where it is served from: the files of the other one, copied, and a description of its own.

    Raises a PipelineError where the precision cannot be, or the name is taken.
    """
    if not draft.is_name(name):
        raise BadPackage(f"a model cannot be called {name!r}", hint="1 to 63 of a-z 0-9 _ -; say another with --name")
    if any(draft.holds(repository, name) for repository in places.both):
        raise BadPackage(f"there is a model {name} already", hint="say another name with --name")
    if precision not in precisions.PRECISIONS:
        raise BadPackage(f"there is no precision {precision!r}; choose from {', '.join(precisions.PRECISIONS)}")
    precisions.artefact_of(package, precisions.choose(package, precision))
    try:
        places.added.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=draft.PREFIX, dir=places.added.parent) as folder:
            written = draft.Draft(Path(folder), name)
            for file in _files(package):
                _copy(package.folder / file, written.folder / file)
            made = written.describe(
                {
                    **{key: value for key, value in package.table.items() if key != "overload"},
                    "name": name,
                    "version": "1",
                    "ensemble": ensemble_name(name),
                    "variant_of": package.digest,
                    "served_in": precision,
                }
            )
            written.write_triton_folders(made, shared=True)
            return written.move_to(places.added)
    except OSError as error:
        raise PipelineError(f"{error.filename or places.added} cannot be written: {error.strerror}") from error


def _copy(source: Path, target: Path) -> None:
    """A disk that is full is the target's, whatever file shutil names."""
    try:
        shutil.copy2(source, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _files(package: ModelPackage) -> Iterator[str]:
    """All that the description names, relative to its folder; artefacts only where they are built."""
    table = package.table
    yield table["golden"]["image"]
    if "embedding" in table["golden"]:
        yield table["golden"]["embedding"]
    if "labels" in table:
        yield table["labels"]["file"]
    for artefact in table["artefacts"].values():
        yield from (file for key, file in artefact.items() if key != "sha256" and (package.folder / file).is_file())
