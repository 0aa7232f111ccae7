"""Add a model: from a network to a package that has proved itself. What does not pass leaves nothing behind."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from fovea_pipelines import cpu, precision
from fovea_pipelines.adding import draft, golden_answer
from fovea_pipelines.adding.candidate import Candidate
from fovea_pipelines.adding.examination import examine, read
from fovea_pipelines.adding.wish import Wish
from fovea_pipelines.errors import BadPackage, PipelineError
from fovea_pipelines.package import ModelPackage, sha256_of
from fovea_pipelines.parity import corpus, skew
from fovea_pipelines.parity.executors import DaliCpu
from fovea_pipelines.parity.report import Report
from fovea_pipelines.quantisation.accuracy import BadClasses, Photographs, measure
from fovea_pipelines.triton_folders import network_name

_TELLING = 100  # photographs: each is then a point of accuracy at most
_TOLD = 5  # kinds of images beyond their limits

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]


class GateNotPassed(BadPackage):
    """The served pixels, or what the model says of them, are too far from the training code's.

    `pixels` is whether the pixels themselves are.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(
            f"the parity gate is not passed: {'; '.join(islice(report.failures(), _TOLD))}",
            hint="`--limit MEASURE=VALUE` allows more, if that is what you want",
        )
        measures = {exceeded.measure for row in report.rows for exceeded in row.exceeded}
        self.pixels = any(measure.startswith("pixel_") for measure in measures)


@dataclass(frozen=True)
class Places:
    """`given` is the repository that is served anyway, `added` the one to add to."""

    given: Path
    added: Path

    @property
    def both(self) -> tuple[Path, Path]:
        return self.given, self.added


def add(wish: Wish, places: Places, tell: Tell = lambda _: None, progress: Progress = lambda *_: None) -> ModelPackage:
    """The package, where it is served from.

    `tell` hears each step, `progress` how many images of how many were compared. Raises a PipelineError that says which
    check did not pass and by how much.
    """
    name = _name(wish, places)
    tell("reading the network")
    network = read(wish)
    tell("checking its answers")
    candidate = examine(name, wish, network)
    try:
        places.added.mkdir(parents=True, exist_ok=True)
        tell("comparing the served pixels with the training code's")
        try:
            return _proved(candidate, wish, places, tell, progress)
        except GateNotPassed as failure:
            if not (candidate.source.contract.scaled_decode and failure.pixels):
                raise
        tell("comparing them again, with large JPEGs decoded in full: at a fraction they are beyond the limits")
        return _proved(candidate.decoded_in_full(), wish, places, tell, progress)
    except OSError as error:
        raise PipelineError(f"{error.filename or places.added} cannot be written: {error.strerror}") from error


def _name(wish: Wish, places: Places) -> str:
    """What the model will be called; nobody else may be called so."""
    name = wish.name or re.sub(r"[^a-z0-9_-]", "_", wish.called.lower())
    if not draft.is_name(name):
        raise BadPackage(
            f"a model cannot be called {name!r}",
            hint="1 to 63 of a-z 0-9 _ -, not beginning with preprocess_ or classify_; say another with --name",
        )
    for repository in places.both:
        if draft.holds(repository, network_name(name, wish.version)):
            raise BadPackage(
                f"there is a model {name} already",
                hint="say another name with --name, or make this its next version with --new-version",
            )
    return name


def _proved(candidate: Candidate, wish: Wish, places: Places, tell: Tell, progress: Progress) -> ModelPackage:
    """The package where it is served from, once it has passed the gate. Raises GateNotPassed."""
    # Beside where it is going, so that moving it there is one step.
    with tempfile.TemporaryDirectory(prefix=draft.PREFIX, dir=places.added.parent) as folder:
        package, written = _draft(candidate, wish, places, Path(folder))
        _gate(package, wish, progress)
        _weigh(package, wish, written, tell)
        return written.move_to(places.added)


def _draft(candidate: Candidate, wish: Wish, places: Places, root: Path) -> tuple[ModelPackage, draft.Draft]:
    written = draft.Draft(root, candidate.network)
    written.onnx.write_bytes(candidate.adopted.model)
    if candidate.labels:
        (written.folder / "labels.txt").write_text("\n".join(candidate.labels) + "\n", encoding="utf-8")
    contract = candidate.source.contract
    golden = golden_answer.record(wish.golden, contract, written.onnx, written.folder)
    preprocess = draft.preprocess_name(contract, places.both)
    package = written.describe(candidate.table(preprocess, sha256_of(written.onnx), golden, wish.limits))
    shared = any((repository / preprocess).is_dir() for repository in places.both)
    written.write_triton_folders(package, shared=shared)
    return package, written


def _weigh(package: ModelPackage, wish: Wish, written: draft.Draft, tell: Tell) -> None:
    """Record what the network is worth in each precision this CPU has, where there are photographs enough to tell."""
    models = {each: package.onnx.path for each in precision.native() if each != "int8"}
    for folder in wish.photographs if package.labels else ():
        photographs = _photographs(folder, package, tell)
        if len(photographs.pixels) >= _TELLING:
            written.describe({**package.table, "precisions": measure(models, photographs)})
            return


def _photographs(folder: Path, package: ModelPackage, tell: Tell) -> Photographs:
    """With their classes, where the folder says them: it may be meant for the gate, and be about other classes."""
    try:
        return Photographs.of(folder, package)
    except BadClasses as problem:
        tell(f"weighing precisions by their agreement with f32: {problem}")
        return Photographs.of(folder, package, classed=False)


def _gate(package: ModelPackage, wish: Wish, progress: Progress) -> None:
    """Raise GateNotPassed unless the served pixels, and what the model says of them, are within the limits."""
    generated = list(corpus.generated())
    total = len(generated) + sum(len(corpus.files(folder)) for folder in wish.photographs)
    compared = 0

    def count(images: int) -> None:
        nonlocal compared
        compared += images
        progress(compared, total)

    executor = DaliCpu(package.contract, threads=cpu.available())
    specimens = chain(generated, *map(corpus.from_folder, wish.photographs))
    try:
        report = skew.run(package, specimens, {"dali-cpu": executor}, count)
    except OSError as error:
        raise PipelineError(f"{error.filename or 'a photograph'} cannot be read: {error.strerror}") from error
    if not report.passed:
        raise GateNotPassed(report)
