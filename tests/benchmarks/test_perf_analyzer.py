"""perf_analyzer: what it reports, what it is fed, and which release a machine can run."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from benchmarks import perf_analyzer
from benchmarks.errors import LoadFailed, NoPerfAnalyzer

from fovea_client.load.photographs import Photograph

# Written by perf_analyzer 2.50.0 with `-f`, 32 requests at once against the ensemble on two cores.
_REPORT = (Path(__file__).parent / "perf_analyzer_2_50.csv").read_text(encoding="utf-8")


def test_a_report_gives_rate_and_percentiles_in_milliseconds() -> None:
    load = perf_analyzer.parse(_REPORT, "perf_analyzer 2.50.0", seconds=3.0, served=900, cpu_seconds=0.45)
    assert (load.concurrency, load.images_per_second, load.served) == (32, 223.671, 900)
    assert (load.p50_ms, load.p95_ms, load.p99_ms) == (141.336, 161.84, 176.333)
    assert load.client_cpu_ms == 0.5


@pytest.mark.parametrize("report", ["", _REPORT.splitlines()[0]])
def test_a_report_without_a_line_is_a_failure(report: str) -> None:
    with pytest.raises(LoadFailed, match="no result"):
        perf_analyzer.parse(report, "perf_analyzer 2.50.0", seconds=3.0, served=0, cpu_seconds=0.0)


def test_every_photograph_is_one_step_of_the_input() -> None:
    images = (Photograph("a.jpg", "image/jpeg", b"\xff\xd8abc"), Photograph("b.jpg", "image/jpeg", b"\xff"))
    steps = json.loads(perf_analyzer.input_data(images))["data"]
    assert [step["IMAGE"]["shape"] for step in steps] == [[5], [1]]
    assert base64.b64decode(steps[0]["IMAGE"]["b64"]) == images[0].encoded


@pytest.mark.parametrize(
    ("glibc", "version"), [("2.39", "2.54.0"), ("2.38", "2.54.0"), ("2.36", "2.50.0"), ("2.35", "2.50.0")]
)
def test_the_newest_release_that_runs_on_a_glibc_is_taken(glibc: str, version: str) -> None:
    assert perf_analyzer.suitable("x86_64", glibc).version == version


@pytest.mark.parametrize(("machine", "glibc"), [("aarch64", "2.39"), ("x86_64", "2.31"), ("x86_64", "")])
def test_a_machine_it_does_not_run_on_is_told_so(machine: str, glibc: str) -> None:
    with pytest.raises(NoPerfAnalyzer) as caught:
        perf_analyzer.suitable(machine, glibc)
    assert caught.value.hint


def test_a_binary_that_does_not_start_is_a_failure_with_a_hint(tmp_path: Path) -> None:
    release = perf_analyzer.suitable("x86_64", "2.36")
    home = tmp_path / release.version
    home.mkdir()
    binary = home / "perf_analyzer"
    binary.write_text("#!/bin/sh\necho 'libb64.so.0d: cannot open shared object file' >&2\nexit 127\n")
    binary.chmod(0o755)
    tool = perf_analyzer.PerfAnalyzer(binary, home / "lib", release.version)
    with pytest.raises(NoPerfAnalyzer, match="cannot open shared object file"):
        perf_analyzer.check_starts(tool)
