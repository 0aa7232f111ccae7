"""The model packages a command is about: those of the repository, and those that were added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fovea_server.cli import terminal

if TYPE_CHECKING:
    from fovea_pipelines.package import ModelPackage


def read(repository: Path | None, state: Path | None) -> list[ModelPackage]:
    """Given and added, also those that could not be served as they are; ends the command where there are none."""
    terminal.need_serving()
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import added_to, default_folder, packages

    try:
        return [*packages(repository or default_folder()), *added_to(state_folder(state))]
    except (PipelineError, StartError) as error:
        terminal.fail(str(error), error.hint)


def state_folder(state: Path | None) -> Path:
    """The one that was named, or the default one."""
    from fovea_server.triton.repository import default_state

    return (state or default_state()).resolve()


def named(packages: list[ModelPackage], name: str) -> ModelPackage:
    """The package of that name, NAME or NAME@VERSION; ends the command where there is none."""
    found = {package.network: package for package in packages}
    if name not in found:
        terminal.fail(f"no model named {name}", f"there are: {', '.join(found)}", code=2)
    return found[name]
