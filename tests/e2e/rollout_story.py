"""A rollout from beginning to end on a real server, with real photographs and their labels: `make rollout-story`.

    python -m tests.e2e.rollout_story                 about two minutes on two cores
    python -m tests.e2e.rollout_story --out FOLDER    keep the reports and the export

A canary that rolls a damaged model back by itself, an A/B of f32 against int8 that ends in "no difference", a shadow
report, and an export of features for training. Exit code 1 where a chapter does not end as it should.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.conftest import ROOT, Photograph, labelled_photographs
from tests.e2e import rollout_models
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports

from fovea_pipelines import build
from fovea_pipelines.package import ModelPackage

DEFAULT = "efficientnet_lite0"
OPTIONS = ("--log-embeddings=1", "--capture=1", "--workers=2", "--shadow-busy=1")
_AT_ONCE = 6  # callers
_ROLLBACK = 1.0  # seconds
_PATIENCE = 60.0  # seconds for a chapter to end as it should


@dataclass
class Story:
    """A server with its log, and what was seen of it."""

    server: Served
    log: Path
    photographs: list[Photograph]
    seen: dict[str, Any] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fovea(self, *arguments: str | Path) -> str:
        """A command of ours about this server; its output."""
        command = [FOVEA, *map(str, arguments), f"--state={self.server.state}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def declare(self, name: str, kind: str, arms: list[str], *settings: str) -> None:
        """And start."""
        arms_ = [f"--arm={arm}" for arm in arms]
        sets = [f"--set={setting}" for setting in (f"kind={kind}", *settings)]
        self.fovea("ab", "create", f"--name={name}", f"--model={DEFAULT}", *arms_, *sets, "--why=the story")
        self.fovea("ab", "start", name, "--why=the story", f"--feature-log={self.log}")
        self.until(lambda: "experiment" in self.ask(self.photographs[0]).json(), 2)

    def report(self, name: str) -> Path:
        """The page of an experiment."""
        page = self.log.parent / f"{name}.html"
        self.fovea("ab", "show", name, f"--html={page}", f"--feature-log={self.log}")
        return page

    def said(self, name: str) -> dict[str, Any]:
        """What the experiment says by now."""
        return dict(httpx.get(f"{self.server.url}/v1/experiments/{name}", timeout=30).raise_for_status().json())

    def ask(self, photograph: Photograph, client: httpx.Client | None = None) -> httpx.Response:
        identity = f"story-{next(self._numbers)}"
        headers = {"X-Request-ID": identity, "X-Slice": f"size={'large' if len(photograph.content) > 1e5 else 'small'}"}
        url = f"{self.server.url}/v1/classify"
        return (client or httpx).post(url, content=photograph.content, headers=headers, timeout=30)

    def send(self, count: int, feedback: bool = True, stop: threading.Event | None = None) -> Counter[str]:
        """So many photographs, again and again the same; their labels follow as feedback. By arm, and failures."""
        outcomes: Counter[str] = Counter()
        lines: list[str] = []
        turns = iter(list(itertools.islice(itertools.cycle(self.photographs), count)))

        def caller() -> None:
            with httpx.Client() as client:
                while (photograph := next(turns, None)) and not (stop and stop.is_set()):
                    answer = self.ask(photograph, client)
                    said = answer.json()
                    outcomes[said.get("experiment", {}).get("arm", "") if answer.is_success else said["reason"]] += 1
                    if answer.is_success:
                        lines.append(json.dumps({"id": said["id"], "label": photograph.class_index}))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done in [pool.submit(caller) for _ in range(_AT_ONCE)]:
                done.result()
        if feedback and lines:
            self.give(lines)
        return outcomes

    def until(self, is_so: Any, seconds: float = _PATIENCE) -> Any:
        end = time.monotonic() + seconds
        while not (found := is_so()):
            if time.monotonic() > end:
                raise AssertionError(f"it was not so after {seconds:g} s:\n{self.server.log[-1500:]}")
            time.sleep(0.1)
        return found

    def give(self, lines: list[str]) -> None:
        kind = {"Content-Type": "application/x-ndjson"}
        for begin in range(0, len(lines), 2000):
            body = "\n".join(lines[begin : begin + 2000])
            answer = httpx.post(f"{self.server.url}/v1/feedback", content=body, headers=kind, timeout=30)
            assert answer.json()["refused"] == [], answer.text


def canary(story: Story) -> None:
    """A damaged model is rolled back by itself before it served 2,000 requests, and then meets nobody."""
    arms = [f"control={DEFAULT}", "candidate=damaged"]
    settings = ("canary.steps=[0.2, 1.0]", "canary.hold_seconds=600")
    # By its errors, however slow the machine finds a model that was loaded a moment ago.
    story.declare("to-damaged", "canary", arms, *settings, "guardrails.p99_ratio=100")
    ended, began = threading.Event(), time.monotonic()

    def watch() -> None:
        try:
            story.until(lambda: story.said("to-damaged")["state"] == "rolled back")
        finally:
            ended.set()

    watching = threading.Thread(target=watch)
    watching.start()
    story.send(20_000, feedback=False, stop=ended)
    watching.join()
    said = story.said("to-damaged")
    assert said["state"] == "rolled back"
    served_ = next(arm["exposed"] for arm in said["seen"] if arm["name"] == "candidate")
    why = story.fovea("ab", "show", "to-damaged").strip().splitlines()
    after = story.send(200, feedback=False)
    assert served_ < 2000, served_
    assert set(after) == {""}, f"{after}:\n{story.server.log[-3000:]}"
    story.seen["canary"] = {
        "candidate_served": served_,
        "control_served": next(arm["exposed"] for arm in said["seen"] if arm["name"] == "control"),
        "seconds": round(time.monotonic() - began, 1),
        "why": next((line for line in why if "error rate" in line), ""),
        "met_it_afterwards": sum(count for arm, count in after.items() if arm),
    }


def promotion(story: Story) -> None:
    """A candidate that was promoted answers everybody, and nobody any more once it is rolled back."""
    arms = [f"control={DEFAULT}:0.9", "candidate=damaged:0.1"]
    story.declare("promoted", "split", arms, "primary_metric=latency")
    story.fovea("ab", "promote", "promoted", "--why=to see it")
    story.until(lambda: set(_who_answers(story)) == {"damaged"})
    story.fovea("ab", "rollback", "promoted", "--why=to see that too")
    began = last = time.monotonic()
    for _ in range(3):  # by both processes, again and again
        while True:
            if set(_who_answers(story)) == {DEFAULT}:
                break
            last = time.monotonic()
            assert last < began + _PATIENCE, f"the candidate still answers:\n{story.server.log[-1500:]}"
    story.seen["rollback"] = {"seconds_until_the_candidate_answered_nobody": round(last - began, 2)}


def _who_answers(story: Story) -> list[str]:
    """Over connections of their own, so that both processes are asked."""
    image = story.photographs[0].content
    answers = [httpx.post(f"{story.server.url}/v1/classify", content=image, timeout=10) for _ in range(6)]
    return [answer.json()["model"]["name"] if answer.is_success else "damaged" for answer in answers]


def no_difference(story: Story) -> None:
    """f32 against int8 by the labels of real photographs."""
    arms = ["control=plain:0.5", "candidate=small:0.5"]
    settings = ("unit=request", "primary_metric=accuracy", "decision.smallest_effect=0.06", "minimum_sample=500")
    story.declare("f32-or-int8", "split", arms, *settings)
    looks, word = 0, ""
    while word != "no difference" and looks < 12:
        story.send(500)
        time.sleep(1.5)  # until the log is written and read
        said = story.said("f32-or-int8")
        (verdict,) = said["verdicts"]
        word, looks = verdict["word"], looks + 1
    assert word == "no difference", verdict
    assert not said["sample_ratio"]["mismatch"]
    story.report("f32-or-int8")
    story.fovea("ab", "stop", "f32-or-int8", "--why=no difference was found")
    (comparison,) = said["comparisons"]
    story.seen["a/b"] = {
        "accuracy": {arm["name"]: round(arm["primary"], 4) for arm in said["seen"]},
        "answers": sum(arm["observations"] for arm in said["seen"]),
        "looks": looks,
        "difference": comparison["primary"],
        "sample_ratio_p": said["sample_ratio"]["p_value"],
        "verdict": verdict["why"],
        "slices": {name: each["estimate"] for name, each in comparison["slices"].items()},
    }


def shadow(story: Story) -> None:
    """int8 beside f32 on the same images, which nobody waits for."""
    rule = ("decision.rule=not_worse", "decision.smallest_effect=0.2", "minimum_sample=100")
    story.declare("int8-beside", "shadow", ["control=plain", "candidate=small"], "primary_metric=agreement", *rule)
    for _ in range(3):
        lines = []
        for photograph in story.photographs:
            answer = story.ask(photograph).json()
            assert answer["experiment"]["arm"] == "control"
            lines.append(json.dumps({"id": answer["id"], "label": photograph.class_index}))
            time.sleep(0.03)  # in which nobody has anything to do, and a copy is made
        story.give(lines)
        time.sleep(1.5)
        said = story.said("int8-beside")
        if said["comparisons"][0]["primary"]["candidate"] >= 150:
            break
    report = story.report("int8-beside")
    compared = said["comparisons"][0]["primary"]["candidate"]
    assert compared >= 100, compared
    assert said["disagreements"]
    assert "data:image/jpeg;base64," in report.read_text()
    story.fovea("ab", "stop", "int8-beside", "--why=seen enough")
    story.seen["shadow"] = {
        "compared": compared,
        "disagreements": len(said["disagreements"]),
        "mcnemar": said["pairs"],
        "verdict": said["verdicts"][0]["word"],
    }


def export(story: Story) -> None:
    """Features with their labels, for training."""
    import pyarrow.parquet as pq

    output = story.log.parent / "features.parquet"
    story.fovea("features", "export", "--labelled", "-o", output, "--feature-log", story.log)
    table = pq.read_table(output)
    arms = Counter(table["arm"].to_pylist())
    assert table.num_rows > 1000
    assert {"control", "candidate"} <= set(arms)
    by_arm = {str(arm): count for arm, count in arms.items()}
    story.seen["export"] = {"rows": table.num_rows, "columns": table.num_columns, "arms": by_arm}


def models(story: Story, package: ModelPackage) -> None:
    """Two real variants, and one that fails on an image in ten."""
    rollout_models.add_variant(package, "f32", "plain", story.server.state)
    rollout_models.add_variant(package, "int8", "small", story.server.state)
    rollout_models.add_damaged(package, "damaged", story.server.state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to keep the reports and the export")
    arguments = parser.parse_args()
    photographs = labelled_photographs()
    if not photographs:
        sys.exit("no labelled photographs beside the checkout: ../shared/images with a labels.csv")
    package = ModelPackage.read(ROOT / "model_repository" / DEFAULT)
    build.build(package)
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        log = out / "log"
        with served(free_ports(5), f"--feature-log={log}", *OPTIONS) as server:
            story = Story(server, log, photographs)
            models(story, package)
            for chapter in (canary, promotion, no_difference, shadow, export):
                began = time.monotonic()
                chapter(story)
                sys.stderr.write(f"{chapter.__name__}: {time.monotonic() - began:.0f} s\n")
        sys.stdout.write(json.dumps(story.seen, indent=1) + "\n")
        if story.seen["rollback"]["seconds_until_the_candidate_answered_nobody"] > _ROLLBACK:
            sys.exit(f"a rollback is to take at most {_ROLLBACK:g} s")


if __name__ == "__main__":
    main()
