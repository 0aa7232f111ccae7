"""How busy the GPU is while a `with` block runs, by NVML; `load` is there afterwards."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found

_PERIOD = 0.1  # seconds between looks


@dataclass(frozen=True)
class GpuLoad:
    """Mean percent of the time that kernels ran and that the JPEG engines did, and the most memory taken, by all
    programs; None where the driver could not tell."""

    kernels: float | None
    jpeg: float | None
    memory_mb: float | None


class GpuMeter:
    load = GpuLoad(None, None, None)

    def __enter__(self) -> GpuMeter:
        self._stop = threading.Event()
        self._looks: list[found.Load] = []
        self._thread = threading.Thread(target=self._look, name="gpu-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._looks:
            jpeg = [look.jpeg for look in self._looks if look.jpeg is not None]
            self.load = GpuLoad(
                kernels=_mean([look.kernels for look in self._looks]),
                jpeg=_mean(jpeg) if jpeg else None,
                memory_mb=round(max(look.memory for look in self._looks) / 1e6),
            )

    def _look(self) -> None:
        while not self._stop.wait(_PERIOD):
            try:
                self._looks.append(found.load())
            except NoGpu:
                return


def _mean(values: list[int]) -> float:
    return round(sum(values) / len(values), 1)
