"""Every series the gateway exports, declared once; docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fovea_server.domain import Answer, Exposure

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Prometheus series with a registry of their own, so that several gateways can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "fovea_requests", "Requests by outcome: OK, or the reason of the error", ["outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "fovea_request_seconds", "From receiving an image to its answer", buckets=_SECONDS, registry=self.registry
        )
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
        self._log_errors = Counter(
            "fovea_feature_log_errors",
            "Times the log could not be written or compacted",
            ["at"],
            registry=self.registry,
        )
        self._log_torn = Counter(
            "fovea_feature_log_torn_bytes",
            "Bytes at the ends of segments that were not whole, after a crash",
            registry=self.registry,
        )
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
            "Copies of images for candidates in the shadow: compared, dropped, failed",
            ["outcome"],
            registry=self.registry,
        )
        self._store.set(1)

    def answered(self, answer: Answer) -> None:
        self._answered.inc()
        for result in answer.results:
            self._answers.labels(result.model.name).inc()
        self._bytes.inc(answer.image.bytes)
        self._seconds.observe(answer.timings_ms.total / 1000)
        for name, series in self._stages.items():
            series.observe(getattr(answer.timings_ms, name) / 1000)

    def refused(self, reason: str) -> None:
        self._requests.labels(reason).inc()

    def triton_up(self, up: bool) -> None:
        self._triton_up.set(up)

    def triton_restarted(self) -> None:
        self._restarts.inc()

    def exposed(self, exposure: Exposure, outcome: str) -> None:
        self._exposures.labels(exposure.experiment, exposure.arm, outcome).inc()

    def experiments_running(self, count: int) -> None:
        self._running.set(count)

    def experiments_store(self, up: bool) -> None:
        self._store.set(up)

    def shadow_copy(self, outcome: str) -> None:
        self._copies.labels(outcome).inc()

    def watch_admission(self, in_flight: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Export what admission holds, read at the moment of the scrape."""
        Gauge("fovea_in_flight", "Requests inside Triton", registry=self.registry).set_function(in_flight)
        Gauge("fovea_waiting", "Requests in the waiting room", registry=self.registry).set_function(waiting)

    def watch_feature_log(self, depth: Callable[[], float], lag: Callable[[], float]) -> None:
        """Export what waits to be written, read at the moment of the scrape."""
        waiting = Gauge("fovea_feature_log_queue", "Records that wait to be written", registry=self.registry)
        waiting.set_function(depth)
        oldest = Gauge("fovea_feature_log_lag_seconds", "How long the oldest of them has", registry=self.registry)
        oldest.set_function(lag)

    def feature_log_written(self, records: int, size: int) -> None:
        self._log_records.inc(records)
        self._log_bytes.inc(size)

    def feature_log_dropped(self, why: str, records: int = 1) -> None:
        self._log_dropped.labels(why).inc(records)

    def feature_log_torn(self, size: int) -> None:
        self._log_torn.inc(size)

    def feature_log_failed(self, at: str) -> None:
        self._log_errors.labels(at).inc()

    def exposition(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self.registry)
