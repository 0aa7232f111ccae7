"""Tests that need an NVIDIA GPU: `make gpu-check`. Without one they are skipped with the reason."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.conftest import SHARED
from tests.e2e.served import Served, served
from tests.ports import free_ports

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found
from fovea_pipelines.package import ModelPackage

_START_SECONDS = 100  # so that one that hangs leaves time for what else `make gpu-check` has to do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _why_not()
    for item in items:
        if "/gpu/" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.timeout(2 * _START_SECONDS))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _why_not() -> str | None:
    try:
        found.first()
    except NoGpu as error:
        return str(error)
    return None if find_spec("onnxruntime") else "onnxruntime-gpu is not installed"


@pytest.fixture(scope="session")
def images(espresso: bytes) -> list[bytes]:
    """Photographs of $FOVEA_IMAGES, or those beside the checkout; the golden image where there are none."""
    folder = Path(os.environ.get("FOVEA_IMAGES") or SHARED / "images")
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:100]] or [espresso]


@contextlib.contextmanager
def served_on_the_gpu(*options: str) -> Iterator[Served]:
    given = ("--device", "cuda", "--start-timeout", str(_START_SECONDS), *options)
    with served(free_ports(5), *given, seconds=_START_SECONDS + 20) as server:  # its own message comes first
        yield server


@pytest.fixture(scope="session")
def server(package: ModelPackage) -> Iterator[Served]:
    with served_on_the_gpu() as server:
        yield server
