"""`fovea models variant`: the same network in another precision, as a model of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from fovea_server.cli import models_add, packages, state_lock, terminal


def variant(
    name: Annotated[str, typer.Argument(help="Of which model.")],
    precision: Annotated[str, typer.Option(metavar="int8|bf16|f32", help="What it is always served in.")],
    called: Annotated[str | None, typer.Option("--name", help="What to call it; by default MODEL_PRECISION.")] = None,
    repository: terminal.Repository = None,
    state: terminal.State = None,
) -> None:
    """Add a model that is another one in one precision, whatever the server is told; an arm of experiments.

    It is taken into service in every running server, and is removed like any added model.
    """
    terminal.need_serving()
    from fovea_pipelines.adding import variant as variants
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import default_folder

    try:
        given = (repository or default_folder()).resolve()
        with state_lock.alone(packages.state_folder(state)) as folder:
            package = packages.named(packages.read(repository, folder), name)
            places = models_add.places(given, folder)
            made = variants.add(package, precision, called or f"{name}_{precision}", places)
            models_add.take_into_service(made, folder)
    except (PipelineError, StartError) as error:
        terminal.fail(str(error), error.hint)
