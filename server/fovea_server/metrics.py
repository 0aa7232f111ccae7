"""Every series the gateway exports, declared once; docs/metrics.md lists them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from fovea_client.version import __version__
from fovea_server import errors, exposition
from fovea_server.domain import Answer, Exposure, Priority
from fovea_server.errors import FoveaError
from fovea_server.exposition import Worst
from fovea_server.own_processes import OwnProcess, OwnProcesses

# Gauges of which the worst that a process says holds for the whole server; all others add up.
WORST: Mapping[str, Worst] = {
    "fovea_triton_up": min,
    "fovea_feature_log_lag_seconds": max,
    "fovea_experiments_running": max,
    "fovea_experiments_store_up": min,
    "fovea_build_info": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
}
# Without the gauge beside each counter of when it began, for which Prometheus' text format has no other place.
disable_created_metrics()  # type: ignore[no-untyped-call]
CANCELLED = "CANCELLED"  # the outcome where nobody is left to be answered

_REASONS = {each.reason for each in vars(errors).values() if isinstance(each, type) and issubclass(each, FoveaError)}
_NOT_KEPT = ("queue_full", "spool_full", "not_written", "not_encoded", "invalid", "unknown_id")  # docs/metrics.md
_TURNED_AWAY = [
    each.reason
    for each in (errors.Busy, errors.Shed, errors.DeadlineUnreachable, errors.DeadlineExceeded, errors.QuotaExceeded)
]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Ended(Enum):
    """What became of an image: refused for what it is or for want of room, failed by the server's making, or cancelled,
    because its caller went away."""

    ANSWERED = auto()
    REFUSED = auto()
    FAILED = auto()
    CANCELLED = auto()


class Admission(Protocol):
    """What is exported of it."""

    @property
    def in_flight(self) -> int: ...
    @property
    def units(self) -> float: ...
    @property
    def limit(self) -> float: ...
    def waiting_of(self, priority: Priority) -> int: ...


class Metrics:
    """Prometheus series with a registry of their own, so that several gateways can live in one process.

    `worker` is which of the server's gateway processes this is; the first, which owns Triton, is 0.
    """

    def __init__(self, worker: int = 0) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._processes = OwnProcesses()
        self.registry.register(self._processes)
        self.watch_processes(lambda: [OwnProcess("gateway", str(worker), os.getpid())])
        build = Gauge("fovea_build_info", "1; the labels are what runs", ["version", "python"], registry=self.registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._requests = Counter(
            "fovea_requests", "Requests by outcome: OK, or the reason of the error", ["outcome"], registry=self.registry
        )
        # A series that begins at its first increment never increased, to who asks by how much it did.
        for reason in (CANCELLED, *sorted(_REASONS)):
            self._requests.labels(reason)
        seconds = Histogram(
            "fovea_request_seconds",
            "From receiving an image to its answer, or to the end without one",
            ["ended", "priority"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._seconds = {
            (ended, priority): seconds.labels(ended.name.lower(), priority.name.lower())
            for ended in Ended
            for priority in Priority
        }
        stages = Histogram(
            "fovea_stage_seconds",
            "Time of an answered request by stage",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = {name: stages.labels(name) for name in ("gateway", "queue", "preprocess", "model")}
        self._bytes = Counter("fovea_image_bytes", "Bytes of the images answered", registry=self.registry)
        self._triton_up = Gauge("fovea_triton_up", "1 while Triton answers rightly", registry=self.registry)
        self._restarts = Counter("fovea_triton_restarts", "Times Triton was started again", registry=self.registry)
        self._deaths = Counter(
            "fovea_process_deaths", "Times Triton or a model's process died or hung", registry=self.registry
        )
        self._revivals = Counter("fovea_model_revivals", "Times models' processes were revived", registry=self.registry)
        self._crash_loop = Gauge("fovea_crash_loop", "1 while what died is tried again seldom", registry=self.registry)
        self._answers = Counter("fovea_model_answers", "Images answered, by model", ["model"], registry=self.registry)
        self._log_records = Counter(
            "fovea_feature_log_records", "Records written to the feature log", registry=self.registry
        )
        self._log_bytes = Counter(
            "fovea_feature_log_bytes", "Bytes written to the feature log's segments", registry=self.registry
        )
        self._log_dropped = Counter(
            "fovea_feature_log_dropped", "Records and feedback not kept, by why", ["why"], registry=self.registry
        )
        for why in _NOT_KEPT:
            self._log_dropped.labels(why)
        self._log_errors = Counter(
            "fovea_feature_log_errors",
            "Times the log could not be written or compacted",
            ["at"],
            registry=self.registry,
        )
        self._feedback = Counter("fovea_feedback", "Feedback by what became of it", ["status"], registry=self.registry)
        self._log_torn = Counter(
            "fovea_feature_log_torn_bytes",
            "Bytes at the ends of segments that were not whole, after a crash",
            registry=self.registry,
        )
        workers = Gauge("fovea_workers", "Gateway processes that serve", registry=self.registry)
        workers.set(1)
        self._worker_restarts = Counter(
            "fovea_worker_restarts", "Times a gateway process was started again", registry=self.registry
        )
        answered = Counter(
            "fovea_worker_answers", "Requests answered, by gateway process", ["worker"], registry=self.registry
        )
        self._worker_answers = answered.labels(str(worker))
        self._turned_away = Counter(
            "fovea_turned_away",
            "Requests that admission refused or sent away, by reason and class",
            ["reason", "priority"],
            registry=self.registry,
        )
        for reason in _TURNED_AWAY:
            for priority in Priority:
                self._turned_away.labels(reason, priority.name.lower())
        self._answered = self._requests.labels("OK")
        self._exposures = Counter(
            "fovea_experiment_exposures",
            "Requests that met an arm of an experiment: answered, or failed by the server's making",
            ["experiment", "arm", "outcome"],
            registry=self.registry,
        )
        self._running = Gauge("fovea_experiments_running", "Experiments that run", registry=self.registry)
        self._store = Gauge(
            "fovea_experiments_store_up", "1 while the store of experiments answers", registry=self.registry
        )
        self._copies = Counter(
            "fovea_shadow_copies",
            "Copies of images for candidates in the shadow, by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self._store.set(1)

    def answered(self, answer: Answer, priority: Priority) -> None:
        self._answered.inc()
        self._worker_answers.inc()
        for result in answer.results:
            self._answers.labels(result.model.name).inc()
        self._bytes.inc(answer.image.bytes)
        self._seconds[Ended.ANSWERED, priority].observe(answer.timings_ms.total / 1000)
        for name, series in self._stages.items():
            series.observe(getattr(answer.timings_ms, name) / 1000)

    def ended(self, how: Ended, priority: Priority, seconds: float) -> None:
        """An image has no answer, so many seconds after it was received."""
        self._seconds[how, priority].observe(seconds)

    def refused(self, reason: str) -> None:
        self._requests.labels(reason).inc()

    def triton_up(self, up: bool) -> None:
        self._triton_up.set(up)

    def triton_restarted(self) -> None:
        self._restarts.inc()

    def process_died(self) -> None:
        self._deaths.inc()

    def model_revived(self) -> None:
        self._revivals.inc()

    def crash_loop(self, looping: bool) -> None:
        self._crash_loop.set(looping)

    def worker_restarted(self) -> None:
        self._worker_restarts.inc()

    def turned_away(self, reason: str, priority: Priority) -> None:
        """Admission refused a request, or sent it away while it waited."""
        self._turned_away.labels(reason, priority.name.lower()).inc()

    def exposed(self, exposure: Exposure, outcome: str) -> None:
        """An arm of an experiment was met; `outcome` is answered or failed."""
        self._exposures.labels(exposure.experiment, exposure.arm, outcome).inc()

    def experiments_running(self, count: int) -> None:
        self._running.set(count)

    def experiments_store(self, up: bool) -> None:
        self._store.set(up)

    def shadow_copy(self, outcome: str) -> None:
        """A copy was compared, dropped or failed."""
        self._copies.labels(outcome).inc()

    def watch_processes(self, running: Callable[[], Iterable[OwnProcess]]) -> None:
        """Export what these use, read at the moment of the scrape."""
        self._processes.sources.append(running)

    def watch_admission(self, admission: Admission) -> None:
        """Export what admission holds, read at the moment of the scrape."""
        Gauge("fovea_in_flight", "Requests inside Triton", registry=self.registry).set_function(
            lambda: admission.in_flight
        )
        Gauge("fovea_in_flight_units", "Units of work inside Triton", registry=self.registry).set_function(
            lambda: admission.units
        )
        Gauge("fovea_in_flight_limit", "Units of work that may be inside Triton", registry=self.registry).set_function(
            lambda: admission.limit
        )
        waiting = Gauge("fovea_waiting", "Requests in the waiting room", ["priority"], registry=self.registry)
        for priority in Priority:
            waiting.labels(priority.name.lower()).set_function(partial(admission.waiting_of, priority))

    def collected(self) -> list[exposition.Family]:
        """All series of this process."""
        return exposition.collected(self.registry)

    def watch_feature_log(self, depth: Callable[[], float], lag: Callable[[], float]) -> None:
        """Export what waits to be written, read at the moment of the scrape."""
        waiting = Gauge("fovea_feature_log_queue", "Records that wait to be written", registry=self.registry)
        waiting.set_function(depth)
        oldest = Gauge("fovea_feature_log_lag_seconds", "How long the oldest of them has", registry=self.registry)
        oldest.set_function(lag)

    def feature_log_written(self, records: int, size: int) -> None:
        self._log_records.inc(records)
        self._log_bytes.inc(size)

    def feedback_given(self, status: str) -> None:
        self._feedback.labels(status).inc()

    def feature_log_dropped(self, why: str, records: int = 1) -> None:
        self._log_dropped.labels(why).inc(records)

    def feature_log_torn(self, size: int) -> None:
        self._log_torn.inc(size)

    def feature_log_failed(self, at: str) -> None:
        self._log_errors.labels(at).inc()

    def exposition(self) -> bytes:
        """All series of this process in Prometheus' text format."""
        return exposition.text(self.collected())
