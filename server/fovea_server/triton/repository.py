"""The model repositories on disk: the one that is given, the one models are added to, and the one of the moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fovea_pipelines import triton_folders
from fovea_pipelines.errors import BadPackage, PipelineError
from fovea_pipelines.package import ModelPackage, contract_of
from fovea_pipelines.triton_folders import Network
from fovea_server.errors import StartError
from fovea_server.triton import belongings, tuned
from fovea_server.triton.tuned import Setting
from fovea_server.triton.versions import Versions

ADDED = "models"  # the folder of added ones, in the state folder


def default_folder() -> Path:
    """The checkout's `model_repository`, else the one inside the installed package."""
    import fovea_pipelines

    package = Path(fovea_pipelines.__file__).parent
    for folder in (package.parents[1] / "model_repository", package / "model_repository"):
        if folder.is_dir():
            return folder
    raise StartError(
        "no model repository: neither in a checkout nor in the installed package",
        hint="name one with --repository",
    )


def has_plan(package: ModelPackage) -> bool:
    """Whether the TensorRT plan that `config.pbtxt` wants is there."""
    return (package.onnx.path.parent / "model.plan").is_file()


def default_state() -> Path:
    """Where what is added at run time is kept: the XDG Base Directory Specification's folder for state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "fovea"


def packages(folder: Path) -> list[ModelPackage]:
    """Every model package of the repository, by name. Raises StartError where there is none."""
    found = [ModelPackage.read(each) for each in _folders(folder)]
    if not found:
        raise StartError(f"{folder} holds no model package (a folder with a model.toml)", hint="name another folder")
    return found


def added_to(state: Path) -> list[ModelPackage]:
    """Every model that was added, by name."""
    return [ModelPackage.read(folder) for folder in _folders(state / ADDED)]


def _folders(repository: Path) -> list[Path]:
    """Those that hold a package, by name."""
    return [path.parent for path in sorted(repository.glob("*/model.toml"))]


@dataclass(frozen=True)
class Repositories:
    """`given` belongs to the checkout or the operator, `state` is where models are added, `moment` lives as long as
    this server and holds the ensemble of all that is served. `tuned_given`, where there is one, lives as long too: what
    Triton is shown of `given`, with other configurations."""

    given: Path
    state: Path
    moment: Path
    tuned_given: Path | None = None

    @property
    def versions(self) -> Versions:
        return Versions.of(self.state)

    @property
    def added(self) -> Path:
        return self.state / ADDED

    @property
    def folders(self) -> tuple[Path, ...]:
        """For Triton, which wants them to be there."""
        self.added.mkdir(parents=True, exist_ok=True)
        return self.tuned_given or self.given, self.added, self.moment

    def tuned(self, settings: Mapping[str, Setting], new_folder: Callable[[], Path]) -> Repositories:
        """The same, run by Triton as these settings say."""
        return replace(self, tuned_given=tuned.link(self.given, settings, new_folder())) if settings else self

    def remove_what_is_of_the_moment(self) -> None:
        for folder in (self.moment, self.tuned_given):
            if folder is not None:
                belongings.remove(folder)

    def packages(self) -> list[ModelPackage]:
        """Those given, then those added. Raises StartError where a version is there twice."""
        given, added = packages(self.given), self._sound_added()
        there = {(package.name, package.version) for package in given}
        for package in added:
            if (package.name, package.version) in there:
                raise StartError(
                    f"there is a model {package.name} in {self.given} and another in {self.added}",
                    hint=f"remove one: fovea models remove {package.network}",
                )
        for package in given:
            self.check(package)
        return [*given, *added]

    def _sound_added(self) -> list[ModelPackage]:
        """Every model that was added. Raises StartError where one cannot be served, with how to do without it."""
        found = []
        for name in (folder.name for folder in _folders(self.added)):
            try:
                found.append(self.added_package(name))
            except PipelineError as error:
                raise StartError(
                    f"the added model {name} cannot be served: {error}",
                    hint=f"do without it: fovea models remove {name}",
                ) from error
        return found

    def was_added(self, name: str) -> bool:
        return (self.added / name / "model.toml").is_file()

    def added_package(self, name: str) -> ModelPackage:
        """A model that was added. Raises BadPackage where it is not there, or is not what it says."""
        package = ModelPackage.read(self.added / name)
        self.check(package)
        return package

    def check(self, package: ModelPackage) -> None:
        """Raise BadPackage or MissingArtefact unless the pixels are made by the package's own contract, and its
        artefacts are those it describes."""
        for folder in (self.given, self.added):
            if (folder / package.preprocess).is_dir():
                if contract_of(folder / package.preprocess) != package.contract:
                    raise BadPackage(
                        f"{package.preprocess}/contract.toml is not the [contract] of {package.name}'s model.toml; "
                        "the model would see other pixels than it was trained on"
                    )
                break
        else:
            raise BadPackage(f"{package.name} wants {package.preprocess}, which is in no repository")
        for artefact in package.artefacts.values():
            artefact.check()

    def write_ensemble_of(self, packages: Sequence[ModelPackage]) -> None:
        """Put the ensemble of these models where Triton finds it when it is told to load it."""
        files = triton_folders.analyze([Network.of(package) for package in packages])
        triton_folders.write(files, self.moment / triton_folders.ANALYZE)
