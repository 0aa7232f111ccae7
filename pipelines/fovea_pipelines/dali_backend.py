"""The contract as Triton's native DALI backend wants it: a pipeline it serialises when the model loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.triton import autoserialize

from fovea_pipelines import dali_graph
from fovea_pipelines.package import contract_of
from fovea_pipelines.triton_folders import GPU_BATCH

_THREADS = 4


def autoserialized(module_file: str) -> Callable[[], Any]:
    """The pipeline of the contract of the model that the module `module_file` (.../model/1/dali.py) belongs to.

    Decodes on the GPU ("mixed") and stays there. Its third output, PREPROCESS_SPAN, is zeros: this backend cannot
    tell when it began and ended.
    """
    contract = contract_of(Path(module_file).resolve().parents[1])

    def preprocess() -> Any:
        encoded = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1)
        pixels, measures = dali_graph.upright(contract, encoded)
        span = types.Constant(np.zeros(2, dtype=np.int64), device="cpu")
        return pixels, measures, span

    definition: Callable[[], Any] = pipeline_def(batch_size=GPU_BATCH, num_threads=_THREADS, device_id=0)(preprocess)
    marked: Callable[[], Any] = autoserialize(definition)
    return marked
