"""Documents cannot rot: each error, metric and option in the code has its line, and the README says what is true."""

from __future__ import annotations

import dataclasses
import re
import sys
from http import HTTPStatus
from pathlib import Path

import pytest
from tests.conftest import ROOT

from fovea_server import errors
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.gate import GateSettings
from fovea_server.request.quarantine import QuarantineSettings
from fovea_server.studies.declaration import Experiment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, FoveaError)]


def _table(name: str) -> list[list[str]]:
    lines = (ROOT / "docs" / name).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def test_every_error_has_its_row_with_its_codes_and_no_row_is_without_its_error() -> None:
    documented = {row[0].strip("`"): (int(row[1]), row[2]) for row in _table("errors.md")}
    assert documented == {error.reason: (int(error.http), error.rpc.name) for error in ERRORS}


def test_reasons_are_unique_and_client_errors_are_never_server_errors() -> None:
    assert len({error.reason for error in ERRORS}) == len(ERRORS)
    for error in ERRORS:
        assert isinstance(error.http, HTTPStatus)
        assert (error.http >= 500) == (error.rpc.name in {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"})


def test_every_limit_has_its_row_with_its_number() -> None:
    documented = {row[0].strip("`"): int(row[1].replace(",", "")) for row in _table("hostile-images.md")}
    assert documented == dataclasses.asdict(GateSettings())
    kept = QuarantineSettings()
    text = (ROOT / "docs/hostile-images.md").read_text()
    assert f"At most {kept.max_images} images and {kept.max_bytes:,} bytes" in text


def test_every_metric_has_its_row() -> None:
    metrics = Metrics()
    metrics.watch_admission(Admission(AdmissionSettings()))
    metrics.watch_feature_log(lambda: 0, lambda: 0)
    exported = set(re.findall(r"^# TYPE (\w+) ", metrics.exposition().decode(), re.MULTILINE))
    documented = {re.sub(r"\{.*\}", "", row[0].strip("`")) for row in _table("metrics.md")}
    assert documented == exported


def test_every_link_to_a_file_leads_to_one() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def _anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: lower case, punctuation dropped, spaces to hyphens."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_to_a_heading_leads_to_one() -> None:
    links = [
        (page, page if not target else (page.parent / target).resolve(), anchor)
        for page in PAGES
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    ]
    assert links
    lost = [f"{page.name}: {target.name}#{anchor}" for page, target, anchor in links if anchor not in _anchors(target)]
    assert not lost


def test_the_make_targets_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_the_readme_or_another_page_leads_to_each_page(page: object) -> None:
    assert any(page.name in other.read_text() for other in PAGES if other != page)  # type: ignore[attr-defined]


def test_no_page_has_a_gap_left_to_be_filled() -> None:
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        assert not re.findall(r"\b(TODO|TBD|FIXME|PLACEHOLDER|BENCH_TABLE|XXX)\b", page.read_text()), page.name


def test_the_experiment_of_the_page_is_one_that_is_taken() -> None:
    (declared,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/experiments.md").read_text(), re.DOTALL)
    experiment = Experiment.read(tomllib.loads(declared))
    assert experiment.name == "int8-against-f32"
