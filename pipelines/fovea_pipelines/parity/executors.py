"""What is compared with the reference: anything that makes pixels of encoded images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import cpu
from fovea_pipelines.contract import Contract
from fovea_pipelines.dali_executor import DaliExecutor, DaliGpuExecutor, Device, OnDevice
from fovea_pipelines.gpu.host_copy import HostCopy
from fovea_pipelines.preprocessed import Preprocessed

Pixels = NDArray[np.uint8]


class Executor(Protocol):
    """One outcome for each encoded image, in order: UINT8 (height, width, 3), or why there are no pixels."""

    def __call__(self, images: Sequence[bytes], /) -> list[Pixels | Exception]: ...


class DaliCpu:
    """Exactly what Triton serves on a CPU, in this process."""

    def __init__(self, contract: Contract, max_batch: int = 8, threads: int | None = None) -> None:
        self._contract = contract
        self._max_batch = max_batch
        self._threads = threads or cpu.available()
        self._executor = DaliExecutor(contract, max_batch, self._threads)

    def __call__(self, images: Sequence[bytes], /) -> list[Pixels | Exception]:
        arrays = [np.frombuffer(image, np.uint8) for image in images]
        results = [
            result
            for begin in range(0, len(arrays), self._max_batch)
            for result in self._executor.run(arrays[begin : begin + self._max_batch])
        ]
        return [result.pixels if isinstance(result, Preprocessed) else result for result in results]

    def in_full(self) -> DaliCpu | None:
        """The same, but that it decodes every image in full; None where this one does so anyway."""
        if not self._contract.scaled_decode:
            return None
        return DaliCpu(dataclasses.replace(self._contract, scaled_decode=False), self._max_batch, self._threads)


class DaliGpu:
    """Exactly what Triton serves on a GPU, in this process. `device.place` None runs its graph on the CPU."""

    def __init__(self, contract: Contract, max_batch: int = 64, threads: int = 8, device: Device | None = None) -> None:
        device = device or Device()
        self._max_batch = max_batch
        self._executor = DaliGpuExecutor(contract, max_batch, threads, device)
        self._read = HostCopy(device.place)

    def __call__(self, images: Sequence[bytes], /) -> list[Pixels | Exception]:
        arrays = [np.frombuffer(image, np.uint8) for image in images]
        return [
            self._read(result.pixels) if isinstance(result, OnDevice) else result
            for begin in range(0, len(arrays), self._max_batch)
            for result in self._executor.run(arrays[begin : begin + self._max_batch])
        ]
