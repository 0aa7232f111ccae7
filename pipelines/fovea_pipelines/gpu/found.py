"""Which GPUs this machine has and how busy they are, by NVML, which comes with the driver and needs no context.

Source: NVML API reference, https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

from fovea_pipelines.errors import NoGpu

_SHOWN = "CUDA_VISIBLE_DEVICES"  # numbers or UUIDs; numbers as NVML has them where all GPUs are alike
_OLDEST_DRIVER = (580,)  # the first for CUDA 13, which DALI and ONNX Runtime are built with


@dataclass(frozen=True)
class Gpu:
    """`memory` in bytes; `driver` such as "580.159.04"."""

    name: str
    driver: str
    memory: int


@dataclass(frozen=True)
class Load:
    """Percent of the last moment that kernels ran and that the JPEG engines did (None where the driver cannot tell),
    and bytes of memory that are taken."""

    kernels: int
    jpeg: int | None
    memory: int


class _Utilization(Structure):
    _fields_ = (("gpu", c_uint), ("memory", c_uint))


class _Memory(Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise NoGpu("this machine has no NVIDIA driver (libnvidia-ml.so.1)", "install one, or use the CPU") from error
    library.nvmlErrorString.restype = c_char_p
    library.nvmlErrorString.argtypes = (c_int,)
    for name in ("UtilizationRates", "MemoryInfo"):
        getattr(library, f"nvmlDeviceGet{name}").argtypes = (c_void_p, c_void_p)
    library.nvmlDeviceGetName.argtypes = (c_void_p, c_char_p, c_uint)
    library.nvmlDeviceGetUUID.argtypes = (c_void_p, c_char_p, c_uint)
    library.nvmlDeviceGetHandleByUUID.argtypes = (c_char_p, POINTER(c_void_p))
    library.nvmlDeviceGetHandleByIndex_v2.argtypes = (c_uint, POINTER(c_void_p))
    _check(library.nvmlInit_v2(), library)
    return library


def _check(code: int, library: Any) -> None:
    if code:
        raise NoGpu(f"the NVIDIA driver says: {library.nvmlErrorString(code).decode()}", "see what `nvidia-smi` says")


def first() -> Gpu:
    """The GPU that is used. Raises NoGpu where there is none, or its driver is too old."""
    library, handle = _library(), _handle()
    name, driver = ctypes.create_string_buffer(96), ctypes.create_string_buffer(80)
    _check(library.nvmlDeviceGetName(handle, name, c_uint(96)), library)
    _check(library.nvmlSystemGetDriverVersion(driver, c_uint(80)), library)
    found = Gpu(name.value.decode(), driver.value.decode(), _memory(handle).total)
    check_driver(found.driver)
    return found


def check_driver(version: str) -> None:
    """Raises NoGpu where the driver is too old for CUDA 13."""
    if tuple(int(part) for part in version.split(".") if part.isdigit()) < _OLDEST_DRIVER:
        raise NoGpu(
            f"the NVIDIA driver is {version}; DALI and ONNX Runtime for CUDA 13 need {_OLDEST_DRIVER[0]}",
            "install a newer driver, or use the CPU",
        )


def load() -> Load:
    """How busy the first GPU is at this moment. Raises NoGpu."""
    library, handle = _library(), _handle()
    used = _Utilization()
    _check(library.nvmlDeviceGetUtilizationRates(handle, byref(used)), library)
    return Load(used.gpu, _jpeg(handle), _memory(handle).used)


def _jpeg(handle: c_void_p) -> int | None:
    ask = getattr(_library(), "nvmlDeviceGetJpgUtilization", None)
    percent, period = c_uint(), c_uint()
    if ask is None or ask(handle, byref(percent), byref(period)):
        return None
    return percent.value


def _memory(handle: c_void_p) -> _Memory:
    library, memory = _library(), _Memory()
    _check(library.nvmlDeviceGetMemoryInfo(handle, byref(memory)), library)
    return memory


def _of_beginning(uuid: bytes, count: int) -> c_void_p:
    library, handle, found = _library(), c_void_p(), ctypes.create_string_buffer(96)
    for index in range(count):
        _check(library.nvmlDeviceGetHandleByIndex_v2(index, byref(handle)), library)
        _check(library.nvmlDeviceGetUUID(handle, found, c_uint(96)), library)
        if found.value.startswith(uuid):
            return handle
    raise NoGpu(f"{_SHOWN} names {uuid.decode()}, which the driver does not know", "name one of `nvidia-smi -L`")


def _handle() -> c_void_p:
    """Of the first GPU that CUDA is shown; NVML by itself sees all."""
    library, handle = _library(), c_void_p()
    count = c_uint()
    _check(library.nvmlDeviceGetCount_v2(byref(count)), library)
    if not count.value:
        raise NoGpu("the NVIDIA driver finds no GPU", "see what `nvidia-smi` says")
    shown = os.environ.get(_SHOWN, "0").partition(",")[0].strip()
    if shown.startswith(("GPU-", "MIG-")):
        if library.nvmlDeviceGetHandleByUUID(shown.encode(), byref(handle)):
            handle = _of_beginning(shown.encode(), count.value)  # CUDA takes the beginning of a UUID, NVML the whole
    elif shown.isdecimal():
        _check(library.nvmlDeviceGetHandleByIndex_v2(int(shown), byref(handle)), library)
    else:
        raise NoGpu(
            f"{_SHOWN} is {os.environ[_SHOWN]!r}, which shows no GPU", "unset it, or name one of `nvidia-smi -L`"
        )
    return handle
