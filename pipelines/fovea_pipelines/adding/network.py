"""A network on its way into a package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from fovea_pipelines.contract_sources import Source


@dataclass(frozen=True)
class Network:
    """What a source of networks gives.

    graph    ONNX: one float input NCHW, normalised; logits or features out
    source   contract and normalisation, None where the origin does not say
    labels   class names, None where the origin does not say
    origin   what model.toml's [source] records, text by name: kind, architecture, weights and their SHA-256, licence
    forward  float32 NCHW (n, 3, height, width), normalised, to logits float32 (n, classes): the original's own answer;
             None where only the graph is known
    """

    graph: onnx.ModelProto
    source: Source | None
    labels: tuple[str, ...] | None
    origin: Mapping[str, str]
    forward: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None
