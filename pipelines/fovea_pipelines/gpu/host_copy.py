"""Bring tensors of a GPU to the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.gpu.device_tensor import DeviceTensor


class HostCopy:
    """Arrays of tensors on `device`; None is the host itself, whose tensors are not copied."""

    def __init__(self, device: int | None) -> None:
        self._stream = None
        if device is not None:
            from fovea_pipelines.gpu.driver import Stream

            self._stream = Stream(device)

    def __call__(self, tensor: DeviceTensor) -> NDArray[Any]:
        if self._stream is None:
            return np.from_dlpack(tensor)
        host = np.empty(tensor.shape, dtype=tensor.dtype)
        self._stream.copy(host.ctypes.data, tensor.address, tensor.nbytes)
        self._stream.wait()
        return host
