"""A network that has passed its own checks, with all that its package will say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fovea_pipelines.adding.graphs.adopt import Adopted
from fovea_pipelines.contract_sources import Source
from fovea_pipelines.triton_folders import ensemble_name, network_name


@dataclass(frozen=True)
class Candidate:
    """`labels` is None for a network that only embeds; `checked` is what the checks measured."""

    name: str
    version: str
    description: str
    origin: Mapping[str, str]
    source: Source
    adopted: Adopted
    labels: tuple[str, ...] | None
    checked: Mapping[str, float]

    @property
    def network(self) -> str:
        """What Triton will call it."""
        return network_name(self.name, self.version)

    def decoded_in_full(self) -> Candidate:
        """The same, with no JPEG decoded at a fraction of its size."""
        contract = dataclasses.replace(self.source.contract, scaled_decode=False)
        return dataclasses.replace(self, source=dataclasses.replace(self.source, contract=contract))

    def table(self, preprocess: str, sha256: str, golden: Mapping[str, Any], limits: Mapping[str, float]) -> Any:
        """Its `model.toml`, but for what the parity gate is to measure. `sha256` is of the ONNX file."""
        labels = {"labels": {"file": "labels.txt", "count": len(self.labels)}} if self.labels else {}
        return {
            "name": self.name,
            "version": self.version,
            "preprocess": preprocess,
            "ensemble": ensemble_name(self.network),
            "description": self.description,
            "source": dict(self.origin),
            "artefacts": {"onnx": {"file": "1/model.onnx", "sha256": sha256}},
            "contract": self.source.contract.to_mapping(),
            "normalisation": {"mean": list(self.source.mean), "std": list(self.source.std)},
            **labels,
            "embedding": {"features": self.adopted.features, "tensor": self.adopted.embedding},
            # Of what the arithmetic of 32-bit floats explains: in a batch against alone, and against the original.
            "checked": {name: float(f"{value:.3g}") for name, value in self.checked.items()},
            "golden": dict(golden),
            **({"parity": {"default": dict(limits)}} if limits else {}),
        }
