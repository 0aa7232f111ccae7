"""Tensors are handed over by DLPack without a copy, and live exactly as long as somebody has them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from fovea_pipelines.gpu import device_tensor
from fovea_pipelines.gpu.device_tensor import CPU, DeviceTensor


class _Owner:
    pass


def _tensor(array: np.ndarray, owner: object) -> DeviceTensor:  # type: ignore[type-arg]
    return DeviceTensor(array.ctypes.data, array.shape, array.dtype, (CPU, 0), owner)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16, np.int64])
def test_another_library_reads_it_where_it_lies(dtype: type) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    read = np.from_dlpack(_tensor(array, array))
    np.testing.assert_array_equal(read, array)
    assert read.ctypes.data == array.ctypes.data


def test_its_memory_is_kept_while_a_reader_has_it_and_let_go_then() -> None:
    array, owner = np.arange(6, dtype=np.uint8), _Owner()
    gone = weakref.ref(owner)
    read = np.from_dlpack(_tensor(array, owner))
    del owner
    gc.collect()
    assert gone() is not None
    del read
    gc.collect()
    assert gone() is None
    assert not device_tensor._lent


def test_a_capsule_that_nobody_read_lets_go_too() -> None:
    array, owner = np.arange(6, dtype=np.uint8), _Owner()
    gone = weakref.ref(owner)
    capsule = _tensor(array, owner).__dlpack__()
    del owner
    assert gone() is not None
    del capsule
    gc.collect()
    assert gone() is None


def test_another_librarys_tensor_is_read_where_it_lies() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensor = DeviceTensor.of(array.__dlpack__())
    assert (tensor.address, tensor.shape, tensor.dtype) == (array.ctypes.data, (3, 4), np.float32)
    assert (tensor.device, tensor.nbytes) == ((CPU, 0), 48)
    np.testing.assert_array_equal(np.from_dlpack(tensor), array)


def test_a_tensor_not_in_c_order_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 3\) is not in C order"):
        DeviceTensor.of(np.arange(12, dtype=np.float32).reshape(3, 4).T.__dlpack__())


def test_neighbours_are_joined_without_a_copy_and_strangers_are_not() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    parts = [_tensor(each, array) for each in array]
    both = device_tensor.joined(parts[1:3])
    assert both is not None
    np.testing.assert_array_equal(np.from_dlpack(both), array[1:3])
    assert device_tensor.joined([parts[0], parts[2]]) is None
    assert device_tensor.joined([parts[2]]).shape == (1, 2, 3)  # type: ignore[union-attr]
