"""The short form of each drill holds the figures that no busy machine can excuse; for some, other tests do that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import ROOT
from tests.drills.harness import catalogue, running
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import SHORT, Drill

from fovea_pipelines.package import ModelPackage

DRILLS = catalogue.drills()


@pytest.fixture(scope="module")
def shared(package: ModelPackage) -> Iterator[Bench]:
    """One server, and one c, for the drills that do not hurt it."""
    with Bench(SHORT) as bench:
        yield bench


@pytest.mark.e2e
@pytest.mark.drill
@pytest.mark.timeout(240)
@pytest.mark.parametrize("drill", [each for each in DRILLS if not each.twin], ids=lambda drill: drill.name)
def test_a_drills_short_form_keeps_what_no_busy_machine_can_excuse(drill: Drill, shared: Bench) -> None:
    own = drill.hurts or drill.options
    result = running.run(drill, SHORT, None if own else shared, shared.capacity)
    missed = [figure for figure in result.figures if not figure.passed and not figure.timed]
    assert result.figures
    assert not missed, f"{missed}; {result.notes}"


@pytest.mark.parametrize("drill", [each for each in DRILLS if each.twin], ids=lambda drill: drill.name)
def test_what_is_held_by_another_test_is_held_by_one_that_exists(drill: Drill) -> None:
    assert "def test_" in (ROOT / drill.twin).read_text()
