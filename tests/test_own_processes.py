"""What the server's processes use is exported for each that is there, and for none that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fovea_server.metrics import Metrics
from fovea_server.own_processes import OwnProcess


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    """A process that has used CPU time and holds 64 MiB."""
    code = (
        "import time\nkept = bytearray(b'1') * (64 << 20)\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code + "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "\n"
    yield process
    process.kill()
    process.communicate()


def _exported(metrics: Metrics, series: str) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["process"], sample.labels["number"]): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
        if sample.name == series
    }


def test_each_process_has_its_memory_and_its_seconds_until_it_is_gone(busy: subprocess.Popen[str]) -> None:
    metrics = Metrics(worker=3)
    metrics.watch_processes(lambda: [OwnProcess("a model", "0_1", busy.pid)])

    memory = _exported(metrics, "fovea_process_resident_memory_bytes")
    assert memory["a model", "0_1"] == pytest.approx(psutil.Process(busy.pid).memory_info().rss, rel=0.1)
    assert memory["a model", "0_1"] > 64 << 20
    assert memory["gateway", "3"] == pytest.approx(psutil.Process(os.getpid()).memory_info().rss, rel=0.1)
    assert 0.25 < _exported(metrics, "fovea_process_cpu_seconds_total")["a model", "0_1"] < 10

    busy.kill()
    busy.wait()
    assert list(_exported(metrics, "fovea_process_resident_memory_bytes")) == [("gateway", "3")]
