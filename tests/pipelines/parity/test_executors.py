"""The executors that are compared answer one outcome for each image, in order."""

from __future__ import annotations

import numpy as np

from fovea_pipelines.dali_executor import Device
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity.executors import DaliCpu, DaliGpu


def test_the_graph_of_the_gpu_makes_the_pixels_of_the_cpu(package: ModelPackage, espresso: bytes) -> None:
    images = [espresso, b"no image", espresso]
    cpu = DaliCpu(package.contract, max_batch=2)(images)
    gpu = DaliGpu(package.contract, max_batch=2, threads=2, device=Device(place=None))(images)
    for one, other in zip(cpu, gpu, strict=True):
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
