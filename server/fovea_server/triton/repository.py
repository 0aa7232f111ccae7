"""The model repository on disk: where it lies, and the packages in it."""

from __future__ import annotations

from pathlib import Path

from fovea_pipelines.package import ModelPackage
from fovea_server.errors import StartError


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
    return (package.folder / package.version / "model.plan").is_file()


def packages(folder: Path) -> list[ModelPackage]:
    """Every model package of the repository, by name. Raises StartError where there is none."""
    found = [ModelPackage.read(path.parent) for path in sorted(folder.glob("*/model.toml"))]
    if not found:
        raise StartError(f"{folder} holds no model package (a folder with a model.toml)", hint="name another folder")
    return found
