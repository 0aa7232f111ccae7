"""What every test may use: the default model's package, photographs, free ports, and a served Fovea."""

from __future__ import annotations

import contextlib
import csv
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fovea_pipelines import build
from fovea_pipelines.package import ModelPackage

# What a shell starts in the background ignores Ctrl-C, and so would whatever the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class Photograph:
    path: Path
    class_index: int

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def package(repository: Path) -> ModelPackage:
    """The default model, built."""
    package = ModelPackage.read(repository / "efficientnet_lite0")
    build.build(package)
    return package


@pytest.fixture(scope="session")
def espresso(package: ModelPackage) -> bytes:
    """The golden image: a real photograph that is in the repository."""
    return package.golden.image.read_bytes()


def labelled_photographs() -> list[Photograph]:
    """Those that lie beside the checkout; none where nothing lies there."""
    folder = SHARED / "images"
    if not (folder / "labels.csv").is_file():
        return []
    with (folder / "labels.csv").open() as file:
        return [Photograph(folder / row["file"], int(row["class_index"])) for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def photographs() -> list[Photograph]:
    """Labelled photographs that lie beside the checkout; not part of the project."""
    return labelled_photographs() or pytest.skip("no images/ beside the checkout")


@pytest.fixture(scope="session")
def corpora() -> list[Path]:
    """Odd and hostile images that lie beside the checkout; not part of the project."""
    folder = SHARED / "corpora"
    if not folder.is_dir():
        pytest.skip(f"no {folder.name}/ beside the checkout")
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")


def children_running(what: str, parent: int | None = None) -> list[psutil.Process]:
    """The children alive, of this process or of another, with this (a module, part of a path) on the command line."""
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends as we look; ZombieProcess is one of them
            if any(what in word for word in child.cmdline()):
                found.append(child)
    return found
