"""`fovea models build --engine tensorrt`: plans for this machine's GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fovea_server.cli import terminal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fovea_pipelines.package import ModelPackage

_MOST = 512  # images that a plan is checked with


def build(packages: Sequence[ModelPackage], precision: str, images: Path, *, force: bool) -> None:
    """A plan for each, checked on the images of the folder."""
    from fovea_pipelines.engines import tensorrt_build
    from fovea_pipelines.errors import PipelineError
    from fovea_pipelines.gpu import found

    for package in packages:
        try:
            found.first()
            tensorrt_build.check_possible(package, precision)
            record = tensorrt_build.build(package, precision, corpus=_pixels(package, images), force=force)
        except PipelineError as error:
            terminal.fail(str(error), error.hint)
        typer.echo(
            f"{package.name}: {precision} plan for compute capability {record.key.architecture}; on {record.images} "
            f"images the same best class for {record.top_1:.1%}, logits within {record.logit_drift:.3f}",
            err=True,
        )


def _pixels(package: ModelPackage, images: Path) -> list[NDArray[np.uint8]]:
    """What the network sees of them."""
    from fovea_pipelines.parity import corpus
    from fovea_pipelines.parity.executors import DaliCpu

    made = DaliCpu(package.contract)([specimen.content for specimen in corpus.from_folder(images, _MOST)])
    return [pixels for pixels in made if not isinstance(pixels, Exception)]
