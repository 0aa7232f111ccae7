"""What somebody asks for when adding a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fovea_pipelines.contract_sources import Source
from fovea_pipelines.errors import BadNetwork

_LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class Wish:
    """A model to be added.

    source          "torchvision:NAME[:WEIGHTS]", "timm:NAME", or the path of an .onnx file
    name            what it will be called; by default after the source
    version         which of the models of this name it will be
    weights         a checkpoint for a torchvision or timm architecture, instead of the published ones
    preprocessing   contract and normalisation, where the source does not say them or says them wrongly
    labels          class names in the order of the scores, where the source does not say them
    embedding       the tensor to embed with; by default what goes into the last linear layer
    embedding_only  whether the network has no classes
    full_decode     whether large JPEGs are always decoded at full size
    golden          the image whose answer is recorded and must be given before the model may ever serve
    photographs     folders of images for the parity gate, besides the generated ones
    limits          measures of the parity gate whose limits are other than the built-in ones
    licence         of the weights
    """

    source: str
    golden: Path
    name: str | None = None
    version: str = "1"
    weights: Path | None = None
    preprocessing: Source | None = None
    labels: tuple[str, ...] | None = None
    embedding: str | None = None
    embedding_only: bool = False
    full_decode: bool = False
    photographs: tuple[Path, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    description: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.is_onnx and self.source.partition(":")[0] not in _LIBRARIES:
            raise BadNetwork(
                f"{self.source!r} is no source of networks",
                hint="write torchvision:resnet50, timm:resnet50.a1_in1k, or the path of a file that ends with .onnx",
            )

    @property
    def is_onnx(self) -> bool:
        return self.source.endswith(".onnx")

    @property
    def called(self) -> str:
        """What the source calls the network."""
        return Path(self.source).stem if self.is_onnx else self.source.split(":")[1]
