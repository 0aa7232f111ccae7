"""Which photographs a measurement sends where nobody says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea_client.load import photographs
from fovea_client.load.photographs import Photograph
from fovea_pipelines.package import ModelPackage

CHECKOUT = Path(__file__).resolve().parent.parent
BESIDE = CHECKOUT.parent / "shared" / "images"
MODEL = CHECKOUT / "model_repository" / "efficientnet_lite0"


@dataclass(frozen=True)
class Photographs:
    """`source` says in words where they come from, without which a result means little; `path` has them."""

    source: str
    path: Path
    images: tuple[Photograph, ...]

    def describe(self) -> dict[str, Any]:
        kilobytes = round(photographs.mean_kilobytes(self.images))
        return {"source": self.source, "count": len(self.images), "mean_kilobytes": kilobytes}


def read(folder: Path | None = None) -> Photographs:
    """The images of `folder`; without one, of ../shared/images; without that, the model's golden image alone."""
    if folder is not None:
        return of(f"{folder.name}/", folder.resolve())
    if BESIDE.is_dir():
        return of("shared/images/", BESIDE)
    return of("the golden image alone", ModelPackage.read(MODEL).golden.image)


def of(source: str, path: Path) -> Photographs:
    """Raises NoPhotographs."""
    return Photographs(source, path, photographs.read(path))
