"""What several processes counted is told as one server would have counted it."""

from __future__ import annotations

import json
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from fovea_server import exposition
from fovea_server.exposition import Family
from fovea_server.metrics import WORST, Metrics


def _process(requests: int, waiting: float, up: float, seconds: float) -> list[Family]:
    registry = CollectorRegistry()
    Counter("requests", "Requests", ["outcome"], registry=registry).labels("OK").inc(requests)
    Gauge("waiting", "Waiting", registry=registry).set(waiting)
    Gauge("up", "Up", registry=registry).set(up)
    Histogram("seconds", "Seconds", buckets=(1, 10), registry=registry).observe(seconds)
    return exposition.collected(registry)


def _values(families: list[Family]) -> dict[str, float]:
    """Each sample as whoever scrapes it reads it."""
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(exposition.text(families).decode())
        for sample in family.samples
    }


def test_counters_and_histograms_add_up_and_a_gauge_of_the_server_is_as_bad_as_the_worst_says() -> None:
    processes = [_process(3, 5, 1, 0.5), _process(4, 2, 0, 7)]
    values = _values(exposition.merged(processes, {"up": min}))
    assert values["requests_total{outcome=OK}"] == 7
    assert values["waiting"] == 7
    assert values["up"] == 0
    assert (values["seconds_bucket{le=1.0}"], values["seconds_bucket{le=10.0}"]) == (1, 2)
    assert (values["seconds_count"], values["seconds_sum"]) == (2, 7.5)


def test_a_server_of_several_processes_began_with_the_first_and_needs_what_all_need() -> None:
    metrics = [Metrics(0), Metrics(1)]
    alone = _values(metrics[0].collected())
    later = [
        replace(family, samples={key: value + 60 for key, value in family.samples.items()})
        if family.name == "process_start_time_seconds"
        else family
        for family in metrics[1].collected()
    ]
    together = _values(exposition.merged([metrics[0].collected(), later], WORST))
    for same in ("process_start_time_seconds", "process_max_fds"):
        assert together[same] == alone[same] > 0
    for summed in ("process_resident_memory_bytes", "process_open_fds"):
        assert together[summed] > 1.5 * alone[summed]
    assert [value for name, value in together.items() if name.startswith("fovea_build_info{")] == [1]
    assert not any(name.endswith("_created") for name in together)


def test_the_oldest_record_that_waits_in_any_process_is_the_lag() -> None:
    processes = []
    for lag in (0.5, 3.0, 1.0):
        metrics = Metrics()
        metrics.watch_feature_log(lambda: 2, lambda lag=lag: lag)  # type: ignore[misc]
        processes.append(metrics.collected())
    values = _values(exposition.merged(processes, WORST))
    assert (values["fovea_feature_log_queue"], values["fovea_feature_log_lag_seconds"]) == (6, 3.0)


def test_labels_that_one_process_alone_has_are_kept() -> None:
    one, other = Metrics(0), Metrics(1)
    one.refused("BUSY")
    other.refused("NOT_READY")
    other.refused("BUSY")
    values = _values(exposition.merged([one.collected(), other.collected()], WORST))
    assert values["fovea_requests_total{outcome=BUSY}"] == 2
    assert values["fovea_requests_total{outcome=NOT_READY}"] == 1
    assert values["fovea_workers"] == 2
    assert {"fovea_worker_answers_total{worker=0}", "fovea_worker_answers_total{worker=1}"} <= values.keys()


def test_the_counts_of_a_process_that_is_gone_stay_and_its_gauges_go() -> None:
    departed = exposition.counted(_process(3, 5, 1, 0.5))
    values = _values(exposition.merged([_process(1, 1, 1, 0.5), departed], {"up": min}))
    assert (values["requests_total{outcome=OK}"], values["waiting"]) == (4, 1)


def test_families_survive_the_way_to_another_process() -> None:
    families = [*_process(3, float("inf"), 1, 0.5), *Metrics().collected()]
    said = json.loads(json.dumps([family.to_json() for family in families]))
    assert [Family.from_json(each) for each in said] == families
