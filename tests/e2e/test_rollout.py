"""The first chapter of the rollout's story: two gateway processes, a damaged model, a canary that takes itself back.

The whole story is `make rollout-story`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Photograph
from tests.e2e import rollout_models, rollout_story
from tests.e2e.rollout_story import DEFAULT, OPTIONS, Story
from tests.e2e.served import served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage


@pytest.fixture(scope="module")
def story(
    package: ModelPackage, photographs: list[Photograph], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    log = tmp_path_factory.mktemp("rollout") / "log"
    with served(free_ports(5), f"--feature-log={log}", *OPTIONS) as server:
        story = Story(server, log, photographs)
        rollout_models.add_damaged(package, "damaged", server.state)
        yield story


def test_a_damaged_model_is_rolled_back_by_itself_before_it_served_2000_requests(story: Story) -> None:
    rollout_story.canary(story)
    assert story.seen["canary"]["candidate_served"] < 2000
    assert "error rate" in story.seen["canary"]["why"]


def test_what_is_promoted_answers_everybody_until_it_is_rolled_back(story: Story) -> None:
    rollout_story.promotion(story)


def test_an_arm_that_the_server_has_not_loaded_is_refused(story: Story) -> None:
    arms = (f"--arm=a={DEFAULT}:0.5", "--arm=b=nowhere:0.5")
    story.fovea("ab", "create", "--name=refused", f"--model={DEFAULT}", *arms)
    with pytest.raises(AssertionError, match=r"arms\.b\.model: nowhere is not loaded; loaded are damaged"):
        story.fovea("ab", "start", "refused")


def test_a_model_that_an_experiment_asks_is_not_removed(story: Story) -> None:
    arms = [f"control={DEFAULT}:0.5", "candidate=damaged:0.5"]
    story.declare("kept", "split", arms, "unit=request", "primary_metric=latency", "decision.smallest_effect=100")
    with pytest.raises(AssertionError, match="the experiment kept, which is running, asks it"):
        story.fovea("models", "remove", "damaged")
    assert "damaged" in story.fovea("models", "list")
    story.fovea("ab", "stop", "kept", "--why=seen")


def test_labels_reach_the_readout_through_the_feature_log(story: Story, tmp_path: Path) -> None:
    arms = [f"control={DEFAULT}:0.5", f"candidate={DEFAULT}:0.5"]
    story.declare("same", "split", arms, "unit=request", "decision.smallest_effect=0.1")
    story.send(120)
    said = story.until(lambda: _observed(story, "same", 120), 15)
    assert {arm["name"]: arm["primary"] for arm in said["seen"]}["control"] > 0.6
    assert set(said["comparisons"][0]["slices"]) == {"size=large", "size=small"}
    report = story.report("same").read_text()
    assert "<polyline" in report
    story.fovea("ab", "stop", "same", "--why=seen enough")


def _observed(story: Story, name: str, count: int) -> dict[str, object] | None:
    said = story.said(name)
    return said if sum(arm["observations"] for arm in said["seen"]) == count else None
