"""The one way to PyTorch and the libraries around it, which only adding a model needs and no serving code imports."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from fovea_pipelines.errors import MissingArtefact


def library(name: str) -> Any:
    """The module. Raises MissingArtefact where it, or one it needs, is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingArtefact(
            f"reading PyTorch networks needs the Python package {error.name}, which is not installed",
            hint="pip install 'fovea-server[export]'",
        ) from None


def torch() -> Any:
    return library("torch")


def torchvision() -> Any:
    """torchvision, also where its compiled operators do not fit the torch that is installed (a CPU-only build).

    Its transforms and architectures are plain Python and need none of them; only the import asks that they be declared.
    """
    define = torch().library.define
    try:
        return library("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in ("nms", "qnms"):
        define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library("torchvision")


def timm() -> Any:
    torchvision()  # which timm imports
    return library("timm")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what these libraries print, log and warn of while they build, fetch and export."""
    disabled = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
