"""Whether requests really merge in a running Triton, by what it counts while it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fovea_pipelines.triton_folders import ANALYZE
from fovea_server.doctor import statistics, triton, varied
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.statistics import Counts
from fovea_server.doctor.triton import Sent, Target, Triton
from fovea_server.errors import StartError

_LENGTHS = 16  # of a single image
_LATE, _LOOK = 2.0, 0.02  # seconds that the counts of the last answers are waited for, and between two readings


@dataclass(frozen=True)
class Verdict:
    """On one model; `because` is why its requests did not merge, None where they did or nobody tried."""

    model: str
    counts: Counts
    because: str | None = None

    def __str__(self) -> str:
        counts = self.counts
        told = (
            f"{counts.images:,} images in {counts.executions:,} executions, {counts.queue_share:.0%} of the time queued"
        )
        if self.because:
            return f"requests do not merge, because {self.because}: mean batch {counts.mean_batch:.1f} ({told})"
        verb = "requests merge" if counts.merge else "requests ran mostly one by one"
        return f"{verb}: mean batch {counts.mean_batch:.1f} ({told})"

    @property
    def sizes(self) -> str:
        """The batch sizes that were formed, and how often."""
        return ", ".join(f"{size} x {count}" for size, count in sorted(self.counts.batches.items()))


@dataclass(frozen=True)
class Proof:
    """`sent` is None where only what others had sent was read."""

    address: str
    version: str
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    sent: Sent | None = None

    def to_mapping(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "version": self.version,
            "load": asdict(self.sent) if self.sent else None,
            "models": [{"model": each.model, **each.counts.to_mapping(), "says": str(each)} for each in self.verdicts],
        }


async def observe(address: str) -> Proof:
    """What Triton has counted since its models were loaded. Raises StartError where it does not answer."""
    running = Triton(address)
    try:
        version, findings = await _exposed(running, address)
        counts = await running.counts()
        verdicts = [Verdict(name, each) for name, each in await _computing(running, counts)]
        return Proof(address, version, tuple(verdicts), tuple(findings))
    finally:
        await running.close()


async def prove(address: str, model: str | None, images: Sequence[bytes], callers: int, seconds: float) -> Proof:
    """The same while `callers` ask `model` (by default the first ensemble that takes encoded images) at once.

    Raises StartError where Triton does not answer, has no such model, or answers no image.
    """
    running = Triton(address)
    try:
        version, findings = await _exposed(running, address)
        target = await _target(running, model)
        pictures = varied.lengths(images[0], _LENGTHS) if len(images) == 1 else images
        before = await running.counts()
        sent = await running.load(target, pictures, callers, seconds)
        if not sent.answered:
            said = next(iter(sent.failed), "nothing")
            raise StartError(f"{target.model} answered none of the images: {said}", hint="name others with --images")
        gained = await _gained(running, before, sent.answered)
        verdicts = [await _verdict(running, name, counts) for name, counts in await _computing(running, gained)]
        findings += [each for verdict in verdicts for each in _findings(verdict)]
        return Proof(address, version, tuple(verdicts), tuple(findings), sent)
    finally:
        await running.close()


async def _gained(running: Triton, before: dict[str, Counts], answered: int) -> dict[str, Counts]:
    """What each model counted since `before`. Triton counts a batch after it has answered it, so the last ones may
    be late: models that fewer images than were `answered` went through are asked again."""
    end = time.monotonic() + _LATE
    while True:
        gained = {name: each.since(before.get(name, Counts())) for name, each in (await running.counts()).items()}
        counted = [each.images for each in gained.values() if each.images]
        if (counted and min(counted) >= answered) or time.monotonic() > end:
            return gained
        await asyncio.sleep(_LOOK)


async def _exposed(running: Triton, address: str) -> tuple[str, list[Finding]]:
    version = await running.version()
    return version, list(triton.exposed(version, await running.open_apis(), address))


async def _computing(running: Triton, counts: dict[str, Counts]) -> list[tuple[str, Counts]]:
    """The models that were executed; an ensemble only passes on."""
    worked = [(name, each) for name, each in sorted(counts.items()) if each.executions]
    return [(name, each) for name, each in worked if not _is_ensemble(await running.config(name))]


def _is_ensemble(config: Any) -> bool:
    return bool(config.HasField("ensemble_scheduling"))


async def _target(running: Triton, model: str | None) -> Target:
    """Where the load goes."""
    known = sorted(await running.counts())
    if model is not None and model not in known:
        raise StartError(f"Triton serves no model {model}", hint=f"it serves {', '.join(known) or 'none'}")
    configs = [await running.config(name) for name in ([model] if model else known)]
    for config in sorted(configs, key=lambda config: (config.name == ANALYZE, not _is_ensemble(config))):
        if target := triton.target_of(config):
            return target
    raise StartError(
        f"none of {', '.join(known) or 'no models'} takes one encoded image (UINT8 [-1] or STRING [1])",
        hint="without --prove, doctor reads what Triton has counted so far",
    )


async def _verdict(running: Triton, name: str, counts: Counts) -> Verdict:
    if counts.merge:
        return Verdict(name, counts)
    return Verdict(name, counts, statistics.why_not_merged(await running.config(name), counts))


def _findings(verdict: Verdict) -> Iterator[Finding]:
    if verdict.because is None:
        return
    counts = verdict.counts
    yield Finding(
        "warning" if verdict.because.startswith("hardly") else "error",
        "not-merging",
        verdict.model,
        verdict.model,
        f"requests do not merge: mean batch {counts.mean_batch:.1f}",
        f"{counts.images:,} images took {counts.executions:,} executions, because {verdict.because}.",
        ("see what is said of its configuration",),
    )
