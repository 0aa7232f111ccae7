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
        used: dict[tuple[str, str], tuple[int, float]] = {}
        for each in (process for source in self.sources for process in source()):
            try:
                kernel = psutil.Process(each.pid)
                times, resident = kernel.cpu_times(), kernel.memory_info().rss
            except (psutil.Error, OSError):  # it is gone, or this process has no descriptor left to look at it
                continue
            before = used.get((each.name, each.number), (0, 0.0))  # of one that has not ended yet, beside the next
            used[each.name, each.number] = before[0] + resident, before[1] + times.user + times.system
        for labels, (resident, total) in used.items():
            memory.add_metric(labels, resident)
            seconds.add_metric(labels, total)
        yield memory
        yield seconds
