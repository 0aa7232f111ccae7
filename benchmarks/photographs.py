"""Which photographs a measurement sends.

They are read once and sent as they are: nothing is decoded here, so a file that is not an image is an error of the
server's to report.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import NoPhotographs
from fovea_pipelines.package import ModelPackage

CHECKOUT = Path(__file__).resolve().parent.parent
_BESIDE = CHECKOUT.parent / "shared" / "images"
_MODEL = CHECKOUT / "model_repository" / "efficientnet_lite0"
_MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True)
class Photograph:
    name: str
    media_type: str
    encoded: bytes


@dataclass(frozen=True)
class Photographs:
    """`source` says in words where they come from; a result without it means little."""

    source: str
    images: tuple[Photograph, ...]

    @property
    def mean_kilobytes(self) -> float:
        return sum(len(image.encoded) for image in self.images) / len(self.images) / 1000


def read(folder: Path | None = None) -> Photographs:
    """The images of `folder`; without one, of ../shared/images; without that, the model's golden image alone."""
    if folder is not None:
        return _of_folder(folder, f"{folder.name}/")
    if _BESIDE.is_dir():
        return _of_folder(_BESIDE, "shared/images/")
    return Photographs("the golden image alone", (_photograph(ModelPackage.read(_MODEL).golden.image),))


def _of_folder(folder: Path, name: str) -> Photographs:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _MEDIA_TYPES)
        images = [_photograph(path) for path in paths]
    except OSError as error:
        raise NoPhotographs(f"{folder} cannot be read: {error.strerror}", "name another with --images") from error
    if not images:
        raise NoPhotographs(
            f"{folder} holds no photographs ({', '.join(_MEDIA_TYPES)})", "name a folder of them with --images"
        )
    # Sorted by class, neighbours resemble each other in size; one seed for all, so that every line sees one order.
    random.Random(0).shuffle(images)  # noqa: S311 - an order, not a secret
    return Photographs(name, tuple(images))


def _photograph(path: Path) -> Photograph:
    try:
        return Photograph(path.name, _MEDIA_TYPES[path.suffix.lower()], path.read_bytes())
    except OSError as error:
        raise NoPhotographs(f"{path} cannot be read: {error.strerror}", "check the file's permissions") from error
