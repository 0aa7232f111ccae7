"""The images of a batch brought together where the engine reads them, wherever each of them lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.gpu.device_tensor import DeviceTensor, on_host

Image = NDArray[np.uint8] | DeviceTensor  # UINT8 (height, width, 3), or several of one size (n, height, width, 3)


class Staging(Protocol):
    """Room for a batch: UINT8 (most, height, width, 3), at `address`."""

    @property
    def address(self) -> int: ...

    def fill(self, images: Sequence[Image]) -> None:
        """Put them there one after the other, and wait until they are there."""


class OnHost:
    def __init__(self, shape: Sequence[int]) -> None:
        self._batch = np.zeros(shape, dtype=np.uint8)
        self.address = int(self._batch.ctypes.data)

    def fill(self, images: Sequence[Image]) -> None:
        flat, begin = self._batch.reshape(-1), 0
        for image in images:
            array = np.from_dlpack(image) if isinstance(image, DeviceTensor) else image
            flat[begin : begin + array.size] = array.reshape(-1)
            begin += array.size


class OnGpu:
    """Memory of its own: what is there stays until the next `fill`, and images from other processes can be given back
    at once."""

    def __init__(self, shape: Sequence[int], device: int = 0) -> None:
        from fovea_pipelines.gpu.driver import Memory, Stream

        self._memory = Memory(math.prod(shape), device)
        self._stream = Stream(device)
        self.address = self._memory.address
        self.fill([np.zeros(shape, dtype=np.uint8)])

    def fill(self, images: Sequence[Image]) -> None:
        # Kept until the copies are done.
        tensors = [image if isinstance(image, DeviceTensor) else on_host(image) for image in images]
        begin = self.address
        for tensor in tensors:
            self._stream.copy(begin, tensor.address, tensor.nbytes)
            begin += tensor.nbytes
        self._stream.wait()


def count(images: Sequence[Image]) -> int:
    """How many single images these are."""
    return sum(image.shape[0] if len(image.shape) == 4 else 1 for image in images)
