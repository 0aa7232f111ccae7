"""DALI pipelines for images of one form, which survive the images that they cannot decode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from fovea_pipelines import dali_graph, geometry, quality
from fovea_pipelines.contract import Contract
from fovea_pipelines.headers import Header
from fovea_pipelines.preprocessed import Preprocessed, Undecodable

_REGION = ("begin", "end", "size")  # of a geometry.Cut
_DECODER = "fn.decoders.image"  # how DALI's messages name the operator that read the image


_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Job:
    """`source` is encoded bytes (n,), or stored pixels (height, width, 3) at 1/`fraction` of the header's size, rounded
    up."""

    source: NDArray[np.uint8]
    header: Header
    plan: geometry.Plan
    fraction: int = 1

    @property
    def is_encoded(self) -> bool:
        return self.source.ndim == 1


class Lane(ABC, Generic[_Made]):
    """A DALI pipeline, built when first needed.

    DALI fails a whole batch for one bad image, does not say which it was, and the pipeline is no longer usable
    afterwards; so a failed batch is run again image by image on a new pipeline (6 ms on a CPU): the innocent are
    answered, the culprit is told.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int) -> None:
        self._contract = contract
        self._max_batch = max_batch
        self._threads = threads
        self._pipeline: Pipeline | None = None

    def run(self, jobs: Sequence[Job]) -> list[_Made | Undecodable | RuntimeError]:
        if not jobs:
            return []
        try:
            return list(self.run_together(jobs))
        except RuntimeError as failure:
            if len(jobs) == 1:
                return [_blame(failure)]
        return [result for job in jobs for result in self.run([job])]

    def run_together(self, jobs: Sequence[Job]) -> list[_Made]:
        """All or none; RuntimeError, and a new pipeline the next time, where DALI cannot do one of them."""
        pipeline, self._pipeline = self._pipeline or self._build(), None
        results = self._run(pipeline, jobs)
        self._pipeline = pipeline
        return results

    @abstractmethod
    def _build(self) -> Pipeline: ...

    @abstractmethod
    def _run(self, pipeline: Pipeline, jobs: Sequence[Job]) -> list[_Made]: ...


class CpuLane(Lane[Preprocessed]):
    """On the CPU, from encoded bytes or from pixels that were decoded at a fraction of their size."""

    def __init__(self, contract: Contract, max_batch: int, threads: int, *, encoded: bool) -> None:
        super().__init__(contract, max_batch, threads)
        self._encoded = encoded

    def _build(self) -> Pipeline:
        pipeline = Pipeline(
            batch_size=self._max_batch,
            num_threads=self._threads,
            device_id=None,
            prefetch_queue_depth=1,
            # The dynamic executor allocates every buffer anew with each batch, 0.6 CPU-ms an image where one is alone.
            exec_dynamic=False,
            exec_pipelined=False,
            exec_async=False,
        )
        with pipeline:
            source = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1 if self._encoded else 3)
            image = dali_graph.decoded(source) if self._encoded else fn.reshape(source, layout="HWC")
            pixels = dali_graph.resized(self._contract, image, fed_passes(self._contract))
            pipeline.set_outputs(pixels, quality.dali_luma(pixels))
        pipeline.build()
        return pipeline

    def _run(self, pipeline: Pipeline, jobs: Sequence[Job]) -> list[Preprocessed]:
        feed(pipeline, jobs, self._contract)
        pixels, luma = pipeline.run()
        return [
            self._preprocessed(np.asarray(pixels[place]), np.asarray(luma[place])[..., 0], job)
            for place, job in enumerate(jobs)
        ]

    def _preprocessed(self, stored: NDArray[np.uint8], luma: NDArray[np.uint8], job: Job) -> Preprocessed:
        """A copy: the pipeline's next run uses its memory again."""
        return Preprocessed(self._finished(stored.copy(), job), quality.of_luma(luma))

    def _finished(self, stored: NDArray[np.uint8], job: Job) -> NDArray[np.uint8]:
        kept = geometry.upright(stored, job.header.orientation)
        result = geometry.on_canvas(kept, job.plan.place, self._contract)
        return result if self._contract.colour == "RGB" else result[..., ::-1]


def fed(*names: str) -> list[Any]:
    """Inputs of one small vector an image, fed anew with each batch."""
    return [fn.external_source(name=name, device="cpu", dtype=types.FLOAT, ndim=1) for name in names]


def fed_passes(contract: Contract) -> list[dali_graph.Region]:
    """Inputs for the passes of a resize."""
    return [_fed_region(number) for number in range(geometry.count_of_passes(contract))]


def _fed_region(number: int) -> dali_graph.Region:
    begin, end, size = fed(*(f"{name}_{number}" for name in _REGION))
    return begin, end, size


def feed(pipeline: Pipeline, jobs: Sequence[Job], contract: Contract) -> None:
    """The images, and which part of each becomes how large."""
    passes = [geometry.passes(job.header, job.plan, contract, job.fraction) for job in jobs]
    pipeline.feed_input("IMAGE", [job.source for job in jobs])
    for number, cuts in enumerate(zip(*passes, strict=True)):
        for name in _REGION:
            pipeline.feed_input(f"{name}_{number}", np.array([getattr(cut, name) for cut in cuts], dtype=np.float32))


def _blame(failure: RuntimeError) -> Undecodable | RuntimeError:
    """The image is at fault where its decoder failed, but for want of memory; anything else is a fault of ours."""
    if _DECODER in str(failure) and "bad_alloc" not in str(failure):
        return Undecodable("the decoder cannot read it; it is damaged or incomplete")
    return failure
