"""A tensor that lies in a GPU's memory, handed from one library to another by DLPack, without a copy.

The structures are those of DLPack 0.x (https://dmlc.github.io/dlpack/latest/c_api.html), the version that Triton's
Python backend reads. Memory of the host goes the same way, which is how this is tested without a GPU.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

CPU, CUDA = 1, 2  # DLDeviceType
_CODES = {"i": 0, "u": 1, "f": 2}  # DLDataTypeCode of NumPy's kinds
_KINDS = {code: kind for kind, code in _CODES.items()}
_FRESH, _USED = b"dltensor", b"used_dltensor"


class _DLTensor(Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


_DELETER = ctypes.CFUNCTYPE(None, c_void_p)


class _DLManagedTensor(Structure):
    _fields_ = (("dl_tensor", _DLTensor), ("manager_ctx", c_void_p), ("deleter", _DELETER))


_DESTRUCTOR = ctypes.PYFUNCTYPE(None, c_void_p)
_python = ctypes.pythonapi
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, ctypes.c_char_p, _DESTRUCTOR)(("PyCapsule_New", _python))
_pointer = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", _python))
# Of a capsule that is being destroyed, so as an address: a reference to it would bring it back to life.
_dying_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _python))
_dying_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))


@dataclass(frozen=True)
class DeviceTensor:
    """Numbers in C order at `address` of `device` (DLPack's type and the device's number); `owner` keeps them there."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: tuple[int, int]
    owner: object

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: object = None, **_: object) -> Any:
        """A capsule for one reader. Whoever made the tensor has waited for it, so no stream has to."""
        shape = (c_int64 * len(self.shape))(*self.shape)
        managed = _DLManagedTensor()
        tensor = managed.dl_tensor
        tensor.data, (tensor.device_type, tensor.device_id) = self.address, self.device
        tensor.ndim, tensor.shape = len(self.shape), shape
        tensor.code, tensor.bits, tensor.lanes = _CODES[self.dtype.kind], 8 * self.dtype.itemsize, 1
        managed.deleter = _release
        address = ctypes.addressof(managed)
        _lent[address] = (managed, shape, self)
        return _new_capsule(address, _FRESH, _destroy)

    @classmethod
    def of(cls, capsule: Any) -> DeviceTensor:
        """What a DLPack capsule holds, which is used up by this. Raises ValueError where that is not in C order."""
        loan = _Loan(_pointer(capsule, _FRESH))
        _rename(capsule, _USED)
        tensor = loan.managed.dl_tensor
        shape = tuple(tensor.shape[: tensor.ndim])
        dtype: np.dtype[Any] = np.dtype(f"{_KINDS[tensor.code]}{tensor.bits // 8}")
        if tensor.strides and not _is_c_order(shape, tensor.strides[: tensor.ndim]):
            raise ValueError(f"a tensor of shape {shape} is not in C order")
        address = (tensor.data or 0) + tensor.byte_offset
        return cls(address, shape, dtype, (tensor.device_type, tensor.device_id), loan)


class _Loan:
    """Somebody else's tensor, given back once nobody here has it any more."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.managed = _DLManagedTensor.from_address(address)

    def __del__(self) -> None:
        if self.managed.deleter:
            self.managed.deleter(self.address)


_lent: dict[int, object] = {}  # what capsules point to, by its address


def _let_go(address: int) -> None:
    _lent.pop(address, None)


def _let_go_unread(capsule: int) -> None:
    """A capsule that nobody read still owns its tensor."""
    if _dying_is_valid(capsule, _FRESH):
        _let_go(_dying_pointer(capsule, _FRESH))


_release, _destroy = _DELETER(_let_go), _DESTRUCTOR(_let_go_unread)


def _is_c_order(shape: Sequence[int], strides: Sequence[int]) -> bool:
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def on_host(array: Any, dtype: DTypeLike | None = None) -> DeviceTensor:
    """A NumPy array in C order as such a tensor."""
    kept = np.ascontiguousarray(array, dtype=dtype)
    return DeviceTensor(kept.ctypes.data, kept.shape, kept.dtype, (CPU, 0), kept)


def joined(tensors: Sequence[DeviceTensor]) -> DeviceTensor | None:
    """Tensors of one shape (...) that lie one after the other, as one of shape (n, ...); None where they do not."""
    first = tensors[0]
    for place, tensor in enumerate(tensors):
        if tensor.shape != first.shape or tensor.address != first.address + place * first.nbytes:
            return None
    return DeviceTensor(first.address, (len(tensors), *first.shape), first.dtype, first.device, tuple(tensors))
