"""The gate: run a corpus through the reference and through executors, and say how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice

from fovea_pipelines import cpu
from fovea_pipelines.contract import Contract
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import reduction
from fovea_pipelines.parity.comparison import Compared, Refused, against, expect
from fovea_pipelines.parity.corpus import SUMS, Specimen
from fovea_pipelines.parity.diagnosis import diagnose, verdict
from fovea_pipelines.parity.executors import Executor
from fovea_pipelines.parity.reduction import REDUCED
from fovea_pipelines.parity.report import Report, Why, Worst
from fovea_pipelines.parity.tally import KEPT, Row, Tally
from fovea_pipelines.parity.thresholds import Thresholds

_BATCH = 16
_EXPLAINED = 3  # images of each failing kind; each costs about twenty references

_Tallies = dict[tuple[str, str], Tally]


def run(
    package: ModelPackage,
    specimens: Iterable[Specimen],
    executors: Mapping[str, Executor],
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Compare every executor with the reference on every specimen; `progress` hears how many are done since.

    The model runs in f32 for both, whatever precision is served: what is measured is the pixels' doing alone. Images
    that the CPU decodes at a fraction of their size are of the kind "reduced" too, and are compared decoded in full as
    well, so that the two rows of that kind show what the reduction does.
    """
    thresholds = Thresholds.of(package)
    artefact = package.onnx
    artefact.check()
    engine = OpenVinoEngine(artefact.path, "f32", streams=cpu.available())
    in_full = reduction.in_full(executors)
    names = [*executors, *in_full]
    tallies: _Tallies = {}
    refusals: list[Refused] = []
    images = 0
    for batch in _batches(reduction.marked(specimens, package.contract)):
        expected = expect(batch, package.contract, engine)
        reduced = [each for each in expected if REDUCED in each.specimen.kinds]
        for outcome in chain(against(expected, executors, engine), against(reduced, in_full, engine)):
            for kind in [REDUCED] if outcome.executor in in_full else outcome.specimen.kinds:
                tallies.setdefault((outcome.executor, kind), Tally(outcome.executor, kind)).add(outcome)
            if isinstance(outcome, Refused):
                refusals.append(outcome)
        images += len(batch)
        progress(len(batch))
    explain = _Explanations(package.contract)
    return Report(
        model=package.name,
        digest=package.digest,
        labels=package.labels,
        images=images,
        rows=tuple(_row(tally, thresholds, explain) for tally in _in_order(tallies, names)),
        worst=tuple(
            Worst(case, why, explain(case))
            for name in names
            for why, cases in _worst([tally for tally in tallies.values() if tally.executor == name]).items()
            for case in cases
        ),
        refusals=tuple(refusals),
    )


def _batches(specimens: Iterable[Specimen]) -> Iterator[list[Specimen]]:
    remaining = iter(specimens)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _in_order(tallies: _Tallies, names: list[str]) -> list[Tally]:
    """By executor as given, the sums before the kinds they are made of."""
    return sorted(tallies.values(), key=lambda each: (names.index(each.executor), each.kind not in SUMS, each.kind))


def _row(tally: Tally, thresholds: Thresholds, explain: _Explanations) -> Row:
    row = tally.row(thresholds)
    if not row.exceeded:
        return row
    return tally.row(thresholds, verdict(explain(case) for case in tally.furthest.in_order()[:_EXPLAINED]))


def _worst(tallies: list[Tally]) -> dict[Why, list[Compared]]:
    """Of one executor, whatever their kind; what is among the furthest off is not named again."""
    off = {case.specimen: case for tally in tallies for case in tally.furthest.in_order()}
    furthest = sorted(off.values(), key=lambda case: case.pixels.mean, reverse=True)[:KEPT]
    other = {case.specimen: case for tally in tallies for case in tally.flipped.in_order()}
    for case in furthest:
        other.pop(case.specimen, None)
    flipped = sorted(other.values(), key=lambda case: case.surety, reverse=True)
    return {Why.FURTHEST_OFF: furthest, Why.FLIPPED: flipped[:KEPT]}


class _Explanations:
    """Diagnoses, each made once."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._made: dict[tuple[str, Specimen], str | None] = {}

    def __call__(self, case: Compared) -> str | None:
        key = case.executor, case.specimen
        if key not in self._made:
            self._made[key] = diagnose(case, self._contract)
        return self._made[key]
