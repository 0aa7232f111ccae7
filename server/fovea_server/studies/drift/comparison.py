"""Two samples of one model's images, compared in everything that is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from fovea_server.studies import proportions
from fovea_server.studies.drift import changes, distances, embeddings, features
from fovea_server.studies.drift.changes import Change, Level, Measure
from fovea_server.studies.drift.distances import Array, Histograms
from fovea_server.studies.proportions import Share
from fovea_server.studies.traffic import samples
from fovea_server.studies.traffic.samples import Ended, Sample
from fovea_server.studies.traffic.sources import Source

FEWEST = 100  # images of a window, below which nothing is said of it
_NEWEST = 24


@dataclass(frozen=True)
class Comparison:
    """`newest` are the SHA-256 and the answer's id of images of now that are least like those of before."""

    model: str
    reference: Sample
    current: Sample
    changes: tuple[Change, ...]
    newest: tuple[tuple[str, str], ...]

    @property
    def has_drifted(self) -> bool:
        return any(change.level is Level.DRIFTED for change in self.changes)


def compare(model: str, before: Source, now: Source) -> Comparison:
    """Everything that is known of `model`'s images and answers. Raises what the sources do."""
    reference, current = samples.take(before, model), samples.take(now, model)
    told, newest = _embedding(reference, current)
    found = [
        *_numbers(reference, current),
        *_values(reference, current),
        *_slices(reference, current),
        told,
        _refused(refusals(samples.ended(before, model)), refusals(samples.ended(now, model))),
        *_accuracy(reference, current),
    ]
    return Comparison(model, reference, current, tuple(changes.judged(found)), newest)


def refusals(ended: Iterable[Ended]) -> Share:
    """Of all requests those that were refused for what they are."""
    counted = list(ended)
    return Share(sum(each.count for each in counted if each.is_refusal), sum(each.count for each in counted))


def _numbers(reference: Sample, current: Sample) -> Iterator[Change]:
    for feature, (_, form) in features.NUMBERS.items():
        before, now = (features.numbers(each, feature) for each in (reference, current))
        if before.size or now.size:
            p_value = distances.ks_p_value(before, now)
            words = (_quartiles(before, form), _quartiles(now, form))
            yield _psi(feature, words, distances.of_numbers(before, now), p_value, (before.size, now.size))


def _values(reference: Sample, current: Sample) -> Iterator[Change]:
    for feature in features.VALUES:
        before, now = (features.values(each, feature) for each in (reference, current))
        if before or now:
            yield _of_values(feature, before, now)


def _slices(reference: Sample, current: Sample) -> Iterator[Change]:
    for name in features.slice_names((reference, current)):
        before, now = (features.slice_values(each, name) for each in (reference, current))
        yield _of_values(f"slice {name}", before, now)


def _of_values(feature: str, before: list[str], now: list[str]) -> Change:
    histograms = distances.of_values(before, now)
    words = (_most(histograms.names, histograms.reference), _most(histograms.names, histograms.current))
    return _psi(feature, words, histograms, histograms.p_value, (len(before), len(now)))


def _psi(
    feature: str, words: tuple[str, str], histograms: Histograms, p_value: float, counts: tuple[int, int]
) -> Change:
    change = Change(feature, Measure.PSI, *words, histograms=histograms)
    if min(counts) < FEWEST:
        return replace(change, why=_too_few(counts))
    if histograms.names == (distances.RARE,):
        return replace(change, why="each value is too rare to be told from chance")
    return replace(change, effect=histograms.psi, p_value=p_value)


def _embedding(reference: Sample, current: Sample) -> tuple[Change, tuple[tuple[str, str], ...]]:
    one, other = reference.embeddings, current.embeddings
    change = Change("embedding", Measure.AUC, f"{len(one):,} images", f"{len(other):,} images")
    counts = len(one), len(other)
    if min(counts) < FEWEST:
        return replace(change, why=_too_few(counts)), ()
    if one.shape[1] != other.shape[1]:
        return replace(change, why=f"of {one.shape[1]:,} features before, of {other.shape[1]:,} now"), ()
    try:
        told = embeddings.tell(one, other, reference.digests, current.digests)
    except ValueError as error:
        return replace(change, why=str(error)), ()
    newest = tuple((current.digests[place], current.ids[place]) for place in told.newest[:_NEWEST])
    return replace(change, effect=told.auc, p_value=told.p_value), newest


def _refused(before: Share, now: Share) -> Change:
    return _points("refused", before, now, proportions.difference(now, before))


def _accuracy(reference: Sample, current: Sample) -> Iterator[Change]:
    """By the labels that are known; and, where those of before are, as estimated from the scores of now."""
    before, now = (_correct(each) for each in (reference, current))
    if before.count or now.count:
        yield _points("accuracy", before, now, proportions.difference(before, now))
    if before.count >= FEWEST:
        confident = _confident(reference, current)
        yield _points("estimated accuracy", before, confident, proportions.difference(before, confident))


def _points(feature: str, before: Share, now: Share, worse: proportions.Difference) -> Change:
    change = Change(feature, Measure.POINTS, _share(before), _share(now))
    counts = before.count, now.count
    if min(counts) < FEWEST:
        return replace(change, why=_too_few(counts))
    return replace(change, effect=worse.estimate, p_value=worse.p_value)


def _correct(sample: Sample) -> Share:
    known = [value for value in sample.values("correct") if value is not None]
    return Share(sum(known), len(known))


def _confident(reference: Sample, current: Sample) -> Share:
    """Average thresholded confidence (Garg, Balakrishnan, Lipton, Neyshabur, Sedghi 2022, Leveraging unlabeled data to
    predict out-of-distribution performance, ICLR): the share of best scores of now above the threshold above which, of
    the labelled images of before, as many lie as were right."""
    known = np.array([value is not None for value in reference.values("correct")])
    scores: Array = reference.numbers("score")[known]
    threshold = np.quantile(scores, 1 - _correct(reference).value)
    now = features.numbers(current, "best score")
    return Share(int(np.sum(now >= threshold)), len(now))


def _too_few(counts: tuple[int, int]) -> str:
    return f"{counts[0]:,} before and {counts[1]:,} now; {FEWEST} are needed"


def _quartiles(values: Array, form: str) -> str:
    if not values.size:
        return ""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def _most(names: tuple[str, ...], counts: Array, shown: int = 3) -> str:
    total = counts.sum()
    order = [place for place in np.argsort(-counts, kind="stable")[:shown] if counts[place]]
    return ", ".join(f"{names[place]} {counts[place] / total:.0%}" for place in order)


def _share(share: Share) -> str:
    return f"{share.value:.1%} of {share.count:,}" if share.count else ""
