"""What each process of a server uses, as the kernel accounts for it at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_LABELS = ("process", "number")


@dataclass(frozen=True)
class OwnProcess:
    """`name` says what it does, `number` tells those apart that do the same."""

    name: str
    number: str
    pid: int


class OwnProcesses(Collector):
    """Series of every process that one of the `sources` knows of; one that is gone has none.

    Resident memory counts what processes share with each of them: libraries, and pages of files.
    """

    def __init__(self) -> None:
        self.sources: list[Callable[[], Iterable[OwnProcess]]] = []

    def collect(self) -> Iterator[Metric]:
        memory = GaugeMetricFamily(
            "fovea_process_resident_memory_bytes", "Memory that each of the server's processes holds", labels=_LABELS
        )
        seconds = CounterMetricFamily(
            "fovea_process_cpu_seconds", "Processor seconds that each of the server's processes used", labels=_LABELS
        )
        for each in (process for source in self.sources for process in source()):
            try:
                kernel = psutil.Process(each.pid)
                times, resident = kernel.cpu_times(), kernel.memory_info().rss
            except psutil.Error:
                continue
            memory.add_metric((each.name, each.number), resident)
            seconds.add_metric((each.name, each.number), times.user + times.system)
        yield memory
        yield seconds
