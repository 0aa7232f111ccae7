"""The alerts are PromQL, of series and labels that the server exports, and each is explained."""

from __future__ import annotations

import re
from typing import Any

import promql_parser
import pytest
import yaml
from tests.conftest import ROOT

from fovea_server import errors
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings

RULES = yaml.safe_load((ROOT / "deploy/prometheus_alerts.yml").read_text())["groups"][0]["rules"]
_OF_PROMETHEUS = {"job", "instance"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The labels of each series. Those without a sample yet are declared all the same."""
    metrics = Metrics()
    metrics.watch_admission(Admission(AdmissionSettings()))
    metrics.watch_feature_log(lambda: 0, lambda: 0)
    series: dict[str, set[str]] = {"up": set()}
    for collector in list(metrics.registry._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        for name in metrics.registry._collector_to_names[collector]:
            series[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    for family in metrics.registry.collect():
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
    assert grouped <= _OF_PROMETHEUS | {"le"}


def test_outcomes_that_are_picked_are_reasons_of_errors_and_endings_are_those_there_are() -> None:
    reasons = {each.reason for each in vars(errors).values() if hasattr(each, "reason")}
    text = "".join(rule["expr"] for rule in RULES)
    picked = {each for group in re.findall(r'outcome=~?"([^"]+)"', text) for each in group.split("|")}
    assert len(picked) > 5
    assert picked <= reasons
    endings = {family.name: family for family in Metrics().registry.collect()}["fovea_request_seconds"].samples
    assert set(re.findall(r'ended="(\w+)"', text)) <= {sample.labels["ended"] for sample in endings}


def test_each_has_its_row_its_severity_and_a_sentence() -> None:
    rows = re.findall(r"^\| `(Fovea\w+)` \|", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE)
    assert rows == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "look")
        assert "$labels.instance" in rule["annotations"]["summary"]
