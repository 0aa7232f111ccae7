"""The alerts are PromQL, of series and labels that the server exports, and each is explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import numpy as np
import promql_parser
import pyarrow as pa
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import ROOT

from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.studies.drift import gauges
from fovea_server.studies.drift.changes import Change, Level, Measure
from fovea_server.studies.drift.comparison import Comparison
from fovea_server.studies.traffic.samples import Sample

RULES = yaml.safe_load((ROOT / "deploy/prometheus_alerts.yml").read_text())["groups"][0]["rules"]
_STORIES = ROOT / "tests/deploy/prometheus_alerts_test.yml"
_OF_PROMETHEUS = {"job", "instance"}
_CHANGE = Change("brightness", Measure.PSI, "", "", 0.5, 0.001, Level.DRIFTED)
_NOTHING = Sample("", 0, 0, pa.table({}), np.empty((0, 0), np.float32), (), (), ())
_COMPARED = [Comparison("cats", _NOTHING, _NOTHING, (_CHANGE,), ())]


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The labels of each series, of a server and of `fovea drift --prometheus`."""
    metrics = Metrics()
    metrics.watch_admission(Admission(AdmissionSettings()))
    metrics.watch_feature_log(lambda: 0, lambda: 0)
    series: dict[str, set[str]] = {"up": set()}
    drift = text_string_to_metric_families(gauges.text(_COMPARED, 0.0).decode())
    for family in [*metrics.registry.collect(), *drift]:
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def _selectors(node: Any) -> list[promql_parser.VectorSelector]:
    """All that an expression reads."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    if isinstance(node, promql_parser.MatrixSelector):
        return [node.vector_selector]
    parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "param")]
    parts += list(getattr(node, "args", None) or [])
    return [selector for part in parts if part is not None for selector in _selectors(part)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_reads_series_that_are_exported_with_the_labels_it_picks_by(
    rule: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    selectors = _selectors(promql_parser.parse(rule["expr"]))
    assert selectors
    for selector in selectors:
        assert selector.name in exported
        for matcher in selector.matchers.matchers:
            assert matcher.name in exported[selector.name] | _OF_PROMETHEUS, (selector.name, matcher.name)
    grouped = {label for by in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in re.split(r",\s*", by)}
    assert grouped <= _OF_PROMETHEUS | {"le"} | set().union(*(exported[selector.name] for selector in selectors))


@pytest.mark.parametrize("label", ["outcome", "ended", "why"])
def test_values_that_are_picked_are_there_before_the_first_increment(label: str) -> None:
    """Of a series that begins at its first increment, Prometheus finds no increase."""
    text = "".join(rule["expr"] for rule in RULES)
    picked = {each for group in re.findall(rf'{label}=~?"([^"]+)"', text) for each in group.split("|")}
    assert picked
    samples = (sample for family in Metrics().registry.collect() for sample in family.samples)
    assert picked <= {sample.labels[label] for sample in samples if label in sample.labels}


def test_each_has_a_story_in_which_it_is_told_and_one_in_which_it_is_not() -> None:
    told: dict[str, int] = {}
    silent: set[str] = set()
    for story in yaml.safe_load(_STORIES.read_text())["tests"]:
        fair = any("fair:" in each["series"] for each in story["input_series"])
        for moment in story["alert_rule_test"]:
            told[moment["alertname"]] = told.get(moment["alertname"], 0) + len(moment["exp_alerts"])
            if fair or not moment["exp_alerts"]:
                silent.add(moment["alertname"])
    names = {rule["alert"] for rule in RULES}
    assert {name for name, times in told.items() if times} == silent == names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus's promtool is not installed")
def test_prometheus_tells_each_of_them_of_the_server_that_is_ill_alone() -> None:
    said = subprocess.run(
        ["promtool", "test", "rules", _STORIES], capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_has_its_row_its_severity_and_a_sentence() -> None:
    rows = re.findall(r"^\| `(Fovea\w+)` \|", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE)
    assert rows == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "look")
        assert "$labels.instance" in rule["annotations"]["summary"]
