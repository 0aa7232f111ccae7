"""Run the contract with DALI on the CPU, batch by batch, and survive images that cannot be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from fovea_pipelines import dali_graph, geometry, headers
from fovea_pipelines.contract import Contract
from fovea_pipelines.headers import Header

_DECODER = "fn.decoders.image"  # how DALI's messages name the operator that read the image

EncodedImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessed:
    """What a model needs of one image: `pixels` UINT8 (height, width, 3) and `quality` FP32 (3,)."""

    pixels: NDArray[np.uint8]
    quality: NDArray[np.float32]


class Undecodable(Exception):
    """These bytes are not an image this decoder can read, or may be given."""


Result = Preprocessed | Undecodable | RuntimeError


@dataclass(frozen=True)
class _Job:
    image: EncodedImage
    header: Header
    cut: geometry.Cut


class DaliExecutor:
    """Runs batches of encoded images through the contract. Not thread-safe; one for each model instance.

    No image reaches the decoder before its header was read. DALI fails a whole batch for one bad image, does not say
    which it was, and its pipeline is no longer usable afterwards; so a failed batch is run again image by image on a
    new pipeline (6 ms): the innocent are answered, the culprit gets `Undecodable`.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int) -> None:
        self._contract = contract
        self._max_batch = max_batch
        self._threads = threads
        self._pipeline = self._build()

    def run(self, images: Sequence[EncodedImage]) -> list[Result]:
        """One result for each image of encoded bytes, UINT8 (n,), in order; at most `max_batch` of them.

        A failure that is not of an image's making is the result of the image it happened with, as RuntimeError.
        """
        jobs = [self._job(image) for image in images]
        sound = [job for job in jobs if isinstance(job, _Job)]
        results = iter(self._run(sound))
        return [next(results) if isinstance(job, _Job) else job for job in jobs]

    def _job(self, image: EncodedImage) -> _Job | Undecodable:
        try:
            header = headers.read(image.tobytes())
        except headers.Refused as refusal:
            return Undecodable(str(refusal))
        return _Job(image, header, geometry.cut(header, self._contract))

    def _run(self, jobs: Sequence[_Job]) -> list[Result]:
        if not jobs:
            return []
        try:
            return list(self._run_together(jobs))
        except RuntimeError as failure:
            self._pipeline = self._build()
            if len(jobs) == 1:
                return [_blame(failure)]
        return [result for job in jobs for result in self._run([job])]

    def _run_together(self, jobs: Sequence[_Job]) -> list[Preprocessed]:
        self._pipeline.feed_input("IMAGE", [job.image for job in jobs])
        for name in ("begin", "end", "size"):
            self._pipeline.feed_input(name, np.array([getattr(job.cut, name) for job in jobs], dtype=np.float32))
        pixels, measures = self._pipeline.run()
        return [
            Preprocessed(geometry.upright(np.asarray(pixels[place]), job.header.orientation), measures.at(place))
            for place, job in enumerate(jobs)
        ]

    def _build(self) -> Pipeline:
        pipeline = Pipeline(
            batch_size=self._max_batch,
            num_threads=self._threads,
            device_id=None,
            prefetch_queue_depth=1,
            exec_dynamic=True,
        )
        with pipeline:
            encoded = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1)
            begin, end, size = (
                fn.external_source(name=name, device="cpu", dtype=types.FLOAT, ndim=1)
                for name in ("begin", "end", "size")
            )
            pipeline.set_outputs(*dali_graph.stored(self._contract, encoded, begin, end, size))
        pipeline.build()
        return pipeline


def _blame(failure: RuntimeError) -> Undecodable | RuntimeError:
    """The image is at fault where its decoder failed; anything else is a fault of ours."""
    if _DECODER in str(failure):
        return Undecodable("the decoder cannot read it; it is damaged or incomplete")
    return failure
