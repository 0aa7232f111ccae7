"""A hundred versions of a model, one in ten broken, take over under load: `python -m tests.drills.hot_swaps`."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import typer
from tests import small_networks
from tests.conftest import ROOT
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, all_of, at_least, none_of
from tests.drills.harness.running import main

from fovea_pipelines.adding import contract_file
from fovea_pipelines.adding.add import Places, add
from fovea_pipelines.adding.draft import PREFIX, Draft
from fovea_pipelines.adding.wish import Wish
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.triton_folders import ensemble_name, network_name
from fovea_server.cli import models_add, models_versions
from fovea_server.triton.repository import added_to

_A_SWAP = 3.5  # seconds of load for each; each takes about two
_NAME = "swapped"
_GOLDEN = ROOT / "model_repository/efficientnet_lite0/espresso.jpg"
_LIMITS = {"logit_drift": 3.0, "embedding_drift": 0.1, "top_1": 0.0, "top_5": 0.0}  # random weights amplify rounding


class _Asker:
    """Asks for the embedding without a pause, and compares it with what the named version's network answers."""

    def __init__(self, url: str, networks: list[ModelPackage]) -> None:
        self._url = url
        self._networks = networks
        self._digests: dict[str, str] = {}
        self.right, self.wrong = 0, Counter[str]()

    def know(self, package: ModelPackage) -> None:
        self._digests[package.version] = package.digest

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._ask, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _ask(self, stop: threading.Event) -> None:
        expected = [np.load(package.folder / "golden_embedding.npy") for package in self._networks]
        with httpx.Client(base_url=self._url, timeout=20) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"/v1/classify?model={_NAME}&embedding=true", content=_GOLDEN.read_bytes())
                except httpx.HTTPError as error:
                    self.wrong[type(error).__name__] += 1
                else:
                    self._judge(answer, expected)
                time.sleep(0.02)

    def _judge(self, answer: httpx.Response, expected: list[np.ndarray]) -> None:
        if answer.status_code != 200:
            self.wrong[answer.json()["reason"]] += 1
            return
        model, embedding = answer.json()["model"], np.array(answer.json()["embedding"])
        version = model["version"]
        cosines = [float(embedding @ each / np.linalg.norm(embedding) / np.linalg.norm(each)) for each in expected]
        if int(np.argmax(cosines)) != int(version) % 2 or model["digest"] != self._digests[version]:
            self.wrong[f"of another version than {version}"] += 1
        else:
            self.right += 1


def run(bench: Bench) -> list[Figure]:
    swaps, a_broken_one = bench.scale.pick(full=(100, 10), short=(4, 4))
    rate = 0.7 * bench.c
    with tempfile.TemporaryDirectory() as folder:
        networks = [_network(Path(folder), seed) for seed in (0, 1)]
        state = bench.server.state
        asker = _Asker(bench.server.url, networks)
        first = _staged(networks[1], state, "1")
        asker.know(first)
        models_add.take_into_service(first, state)
        requests = [open_loop.post(image, path=f"/v1/classify?model={_NAME}") for image in bench.images]
        with open_loop.load(bench.server.rest_port, requests, [(rate, _A_SWAP * swaps)]) as load, asker.asking():
            said = io.StringIO()  # a line for each version, and for one in ten why it is refused
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                took_over, refused = _swap(swaps, a_broken_one, networks, state, asker)
            seconds = time.monotonic() - load.begins
            records = load.wait()
    failed = {word: n for word, n in records.outcomes().items() if not word.startswith("200 ")}
    answered = {word: n for word, n in records.outcomes().items() if word.startswith("200 ")}
    bench.note(
        rate=rate, seconds_a_swap=seconds / swaps, answers_compared=asker.right, versions_that_answered=len(answered)
    )
    return [
        none_of("failed requests", failed),
        at_least("answers compared with the networks of their versions", swaps, asker.right),
        none_of("answers that are not of the version they name", asker.wrong),
        all_of("sound versions that took over", swaps - swaps // a_broken_one, took_over),
        all_of("broken versions that did not", swaps // a_broken_one, refused),
    ]


def _swap(swaps: int, a_broken_one: int, networks: list[ModelPackage], state: Path, asker: _Asker) -> tuple[int, int]:
    """One in so many is broken: by turns it answers wrongly, or cannot be loaded."""
    took_over = refused = 0
    for swap in range(swaps):
        found = added_to(state)
        version = models_versions.next_version(found, _NAME)
        package = _staged(networks[int(version) % 2], state, version)
        broken = (swap + 1) % a_broken_one == 0
        if broken:
            _break(package, answers_wrongly=(swap + 1) // a_broken_one % 2 == 1, other=networks[1 - int(version) % 2])
            package = ModelPackage.read(package.folder)
        asker.know(package)
        try:
            models_add.take_into_service(package, state)
            models_versions.take_over(package, found, state)
            took_over += not broken
        except typer.Exit:
            refused += broken
    return took_over, refused


def _network(folder: Path, seed: int) -> ModelPackage:
    """A small network, added somewhere else, that embeds its golden image in a direction of its own."""
    contract = folder / "contract.toml"
    contract.write_text(small_networks.CONTRACT)
    wish = Wish(
        source=str(small_networks.classifier(folder / f"{seed}.onnx", seed=seed)),
        golden=_GOLDEN,
        name=f"network{seed}",
        preprocessing=contract_file.read(str(contract)),
        embedding_only=True,
        full_decode=True,
        limits={name: limit for name, limit in _LIMITS.items() if name == "embedding_drift"},
    )
    return add(wish, Places(ROOT / "model_repository", folder / f"added{seed}"))


def _staged(base: ModelPackage, state: Path, version: str) -> ModelPackage:
    """The same network as a version of the model that is swapped, where servers find it."""
    network = network_name(_NAME, version)
    added = state / "models"
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=state) as folder:
        draft = Draft(Path(folder), network)
        shutil.copytree(base.folder, draft.folder, dirs_exist_ok=True)
        table = {**base.table, "name": _NAME, "version": version, "ensemble": ensemble_name(network)}
        draft.write_triton_folders(draft.describe(table), shared=(added / base.preprocess).is_dir())
        return draft.move_to(added)


def _break(package: ModelPackage, *, answers_wrongly: bool, other: ModelPackage) -> None:
    if answers_wrongly:
        shutil.copyfile(other.folder / "golden_embedding.npy", package.folder / "golden_embedding.npy")
    else:
        (package.folder / "1/model.py").write_text("raise ImportError('this version was made to fail')\n")


DRILL = Drill(
    name="hot_swaps",
    promise="A hundred versions of a model under 0.7c, one in ten broken: no failed request, and every answer names "
    "the version that made it.",
    run=run,
    twin="tests/e2e/test_models_add.py",
    seconds=900,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
