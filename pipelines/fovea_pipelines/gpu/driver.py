"""The few calls of CUDA's driver that serving needs: memory, copies, and which GPU it is.

libcuda comes with the driver, so nothing has to be installed for it; its primary context is the one that DALI, ONNX
Runtime and TensorRT use. Source: CUDA Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import cache
from typing import Any

from fovea_pipelines.errors import NoGpu

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoGpu(
            "there is no NVIDIA driver on this machine (libcuda.so.1)", "install one, or use the CPU"
        ) from error
    library.cuMemAlloc_v2.argtypes = (POINTER(c_void_p), c_size_t)
    library.cuMemFree_v2.argtypes = (c_void_p,)
    library.cuMemcpyAsync.argtypes = (c_void_p, c_void_p, c_size_t, c_void_p)
    library.cuStreamSynchronize.argtypes = (c_void_p,)
    library.cuCtxSetCurrent.argtypes = (c_void_p,)
    library.cuGetErrorString.argtypes = (c_int, POINTER(c_char_p))
    return library


def _call(name: str, *arguments: Any) -> None:
    library = _library()
    if code := getattr(library, name)(*arguments):
        said = c_char_p()
        library.cuGetErrorString(code, byref(said))
        raise NoGpu(f"{name} failed: {(said.value or b'').decode() or code}")


@cache
def _primary_context(device: int) -> c_void_p:
    _call("cuInit", c_uint(0))
    context = c_void_p()
    _call("cuDevicePrimaryCtxRetain", byref(context), c_int(device))
    return context


def make_current(device: int) -> None:
    """What the calling thread does from now on, it does on this device. Raises NoGpu."""
    _call("cuCtxSetCurrent", _primary_context(device))


def compute_capability(device: int = 0) -> str:
    """Such as "9.0" of a Hopper. Needs no context."""
    _call("cuInit", c_uint(0))
    values = c_int(), c_int()
    for value, attribute in zip(values, (_MAJOR, _MINOR), strict=True):
        _call("cuDeviceGetAttribute", byref(value), c_int(attribute), c_int(device))
    return ".".join(str(value.value) for value in values)


def free_memory(device: int = 0) -> tuple[int, int]:
    """Bytes free and in all."""
    make_current(device)
    free, total = c_size_t(), c_size_t()
    _call("cuMemGetInfo_v2", byref(free), byref(total))
    return free.value, total.value


class Memory:
    """Bytes on a device, given back with this object."""

    def __init__(self, nbytes: int, device: int = 0) -> None:
        make_current(device)
        address = c_void_p()
        try:
            _call("cuMemAlloc_v2", byref(address), c_size_t(nbytes))
        except NoGpu as error:
            free, total = free_memory(device)
            raise NoGpu(
                f"{nbytes / 1e6:,.0f} MB of GPU memory are needed; {free / 1e6:,.0f} of {total / 1e6:,.0f} MB are free",
                "end another program that uses the GPU, or lower max_batch_size in the model's configuration",
            ) from error
        self.address = int(address.value or 0)
        self.nbytes = nbytes
        self._device = device

    def __del__(self) -> None:
        if address := getattr(self, "address", 0):
            make_current(self._device)
            _library().cuMemFree_v2(address)


class Stream:
    """Copies in order; `wait()` until they are done."""

    def __init__(self, device: int = 0) -> None:
        make_current(device)
        handle = c_void_p()
        _call("cuStreamCreate", byref(handle), c_uint(1))  # CU_STREAM_NON_BLOCKING
        self.handle = int(handle.value or 0)
        self._device = device

    def copy(self, to: int, source: int, nbytes: int) -> None:
        """Between any two addresses, of host or device (unified virtual addressing tells them apart)."""
        make_current(self._device)
        _call("cuMemcpyAsync", to, source, nbytes, self.handle)

    def wait(self) -> None:
        make_current(self._device)
        _call("cuStreamSynchronize", self.handle)
