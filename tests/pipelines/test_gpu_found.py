"""Which of several GPUs is the one that CUDA is shown first; NVML itself sees them all."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found

_UUIDS = (b"GPU-5e9c", b"GPU-77aa", b"MIG-0b1c")


class _Nvml:
    """Two GPUs. Remembers how each was asked for; only a machine with GPUs has the real library."""

    def __init__(self) -> None:
        self.asked: list[int | bytes] = []

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        ctypes.cast(count, ctypes.POINTER(ctypes.c_uint))[0] = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, _: Any) -> int:  # noqa: N802
        self.asked.append(index)
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, _: Any) -> int:  # noqa: N802
        self.asked.append(uuid)
        return 0 if uuid in _UUIDS else 6  # NVML_ERROR_NOT_FOUND

    def nvmlDeviceGetUUID(self, _: Any, uuid: Any, __: Any) -> int:  # noqa: N802
        uuid.value = _UUIDS[int(self.asked[-1])]
        return 0


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> _Nvml:
    library = _Nvml()
    monkeypatch.setattr(found, "_library", lambda: library)
    return library


@pytest.mark.parametrize(
    ("shown", "asked"),
    [(None, 0), ("0", 0), ("1", 1), ("1,0", 1), ("GPU-5e9c,GPU-77aa", b"GPU-5e9c"), ("MIG-0b1c", b"MIG-0b1c")],
)
def test_it_is_the_first_that_cuda_is_shown(
    nvml: _Nvml, monkeypatch: pytest.MonkeyPatch, shown: str | None, asked: int | bytes
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    found._handle()
    assert nvml.asked == [asked]


def test_the_beginning_of_a_uuid_is_enough(nvml: _Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-77")
    found._handle()
    assert nvml.asked == [b"GPU-77", 0, 1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-99")
    with pytest.raises(NoGpu, match="names GPU-99, which the driver does not know"):
        found._handle()


@pytest.mark.parametrize("shown", ["", "-1", "NoDevFiles"])
def test_where_none_is_shown_there_is_none(nvml: _Nvml, monkeypatch: pytest.MonkeyPatch, shown: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    with pytest.raises(NoGpu, match=r"CUDA_VISIBLE_DEVICES is .* which shows no GPU"):
        found._handle()
