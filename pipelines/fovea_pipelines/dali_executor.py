"""Run the contract with DALI on the CPU, batch by batch, and survive images that cannot be decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from fovea_pipelines import dali_graph, geometry, headers, reduced_jpeg
from fovea_pipelines.contract import Contract
from fovea_pipelines.headers import Header

_DECODER = "fn.decoders.image"  # how DALI's messages name the operator that read the image

# Four inks are always stored inverted, and Pillow reads them so; DALI only if this segment says who wrote them.
_ADOBE_MARKER = np.frombuffer(b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00", np.uint8)

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
    """`source` is encoded bytes (n,), or stored pixels (height, width, 3) of the size the header now says."""

    source: NDArray[np.uint8]
    header: Header
    plan: geometry.Plan

    @property
    def is_encoded(self) -> bool:
        return self.source.ndim == 1


class DaliExecutor:
    """Runs batches of encoded images through the contract. Not thread-safe; one for each model instance.

    No image reaches the decoder before its header was read. A JPEG far larger than the contract needs is decoded at a
    fraction of its size where the contract allows it.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int) -> None:
        self._contract = contract
        self._encoded = _Lane(contract, lambda: _pipeline(contract, max_batch, threads, encoded=True))
        self._reduced = _Lane(contract, lambda: _pipeline(contract, max_batch, threads, encoded=False))
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="jpeg")

    def run(self, images: Sequence[EncodedImage]) -> list[Result]:
        """One result for each image of encoded bytes, UINT8 (n,), in order; at most `max_batch` of them.

        A failure that is not of an image's making is the result of the image it happened with, as RuntimeError.
        """
        jobs = self._reduced_where_allowed([self._job(image) for image in images])
        encoded = iter(self._encoded.run([job for job in jobs if isinstance(job, _Job) and job.is_encoded]))
        reduced = iter(self._reduced.run([job for job in jobs if isinstance(job, _Job) and not job.is_encoded]))
        return [next(encoded if job.is_encoded else reduced) if isinstance(job, _Job) else job for job in jobs]

    def _job(self, image: EncodedImage) -> _Job | Undecodable:
        try:
            header = headers.read(image.tobytes())
        except headers.Refused as refusal:
            return Undecodable(str(refusal))
        if header.unmarked_inks:
            image = np.concatenate((image[:2], _ADOBE_MARKER, image[2:]))
        if self._contract.orientation == "ignore":
            header = dataclasses.replace(header, orientation=1)
        return _Job(image, header, geometry.plan(*geometry.upright_size(header), self._contract))

    def _reduced_where_allowed(self, jobs: list[_Job | Undecodable]) -> list[_Job | Undecodable]:
        """Large JPEGs decoded at a fraction of their size, several at once; the rest as it is."""
        large = [job for job in jobs if isinstance(job, _Job) and self._factor(job) > 1]
        if not large:
            return jobs
        smaller = iter(self._readers.map(self._at_a_fraction, large))
        return [next(smaller) if isinstance(job, _Job) and self._factor(job) > 1 else job for job in jobs]

    def _factor(self, job: _Job) -> int:
        if not self._contract.scaled_decode or job.header.format != "jpeg":
            return 1
        return reduced_jpeg.factor(*geometry.upright_size(job.header), job.plan.resized)

    def _at_a_fraction(self, job: _Job) -> _Job:
        pixels = reduced_jpeg.decode(job.source, job.header.height, job.header.width, self._factor(job))
        if pixels is None:
            return job
        header = dataclasses.replace(job.header, height=pixels.shape[0], width=pixels.shape[1])
        return dataclasses.replace(job, source=pixels, header=header)


class _Lane:
    """A DALI pipeline for images of one form, built when first needed.

    DALI fails a whole batch for one bad image, does not say which it was, and the pipeline is no longer usable
    afterwards; so a failed batch is run again image by image on a new pipeline (6 ms): the innocent are answered, the
    culprit is told.
    """

    def __init__(self, contract: Contract, build: Callable[[], Pipeline]) -> None:
        self._contract = contract
        self._build = build
        self._pipeline: Pipeline | None = None

    def run(self, jobs: Sequence[_Job]) -> list[Result]:
        if not jobs:
            return []
        try:
            return list(self._run_together(jobs))
        except RuntimeError as failure:
            self._pipeline = None
            if len(jobs) == 1:
                return [_blame(failure)]
        return [result for job in jobs for result in self.run([job])]

    def _run_together(self, jobs: Sequence[_Job]) -> list[Preprocessed]:
        pipeline = self._pipeline = self._pipeline or self._build()
        cuts = [geometry.cut(job.header, job.plan) for job in jobs]
        pipeline.feed_input("IMAGE", [job.source for job in jobs])
        for name in ("begin", "end", "size"):
            pipeline.feed_input(name, np.array([getattr(cut, name) for cut in cuts], dtype=np.float32))
        pixels, measures = pipeline.run()
        return [
            Preprocessed(self._finished(np.asarray(pixels[place]), job), measures.at(place))
            for place, job in enumerate(jobs)
        ]

    def _finished(self, stored: NDArray[np.uint8], job: _Job) -> NDArray[np.uint8]:
        kept = geometry.upright(stored, job.header.orientation)
        result = geometry.on_canvas(kept, job.plan.place, self._contract)
        return result if self._contract.colour == "RGB" else result[..., ::-1]


def _pipeline(contract: Contract, max_batch: int, threads: int, *, encoded: bool) -> Pipeline:
    pipeline = Pipeline(
        batch_size=max_batch, num_threads=threads, device_id=None, prefetch_queue_depth=1, exec_dynamic=True
    )
    with pipeline:
        source = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1 if encoded else 3)
        image = dali_graph.decoded(source) if encoded else fn.reshape(source, layout="HWC")
        begin, end, size = (
            fn.external_source(name=name, device="cpu", dtype=types.FLOAT, ndim=1) for name in ("begin", "end", "size")
        )
        pipeline.set_outputs(*dali_graph.stored(contract, image, begin, end, size))
    pipeline.build()
    return pipeline


def _blame(failure: RuntimeError) -> Undecodable | RuntimeError:
    """The image is at fault where its decoder failed; anything else is a fault of ours."""
    if _DECODER in str(failure):
        return Undecodable("the decoder cannot read it; it is damaged or incomplete")
    return failure
