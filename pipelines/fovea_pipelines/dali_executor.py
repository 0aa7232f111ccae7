"""Run the contract with DALI, batch by batch, on the CPU or on a GPU, and survive images that cannot be decoded."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fovea_pipelines import geometry, headers, png_surplus, reduced_jpeg, unsound_jpeg
from fovea_pipelines.contract import Contract
from fovea_pipelines.dali_gpu_lane import Device, GpuLanes, GpuResult, OnDevice
from fovea_pipelines.dali_lanes import CpuLane, Job
from fovea_pipelines.preprocessed import Preprocessed, Result, Undecodable

__all__ = [
    "DaliExecutor",
    "DaliGpuExecutor",
    "Device",
    "EncodedImage",
    "GpuResult",
    "OnDevice",
    "Preprocessed",
    "Result",
    "Undecodable",
    "is_reduced",
]

# Four inks are always stored inverted, and Pillow reads them so; DALI only if this segment says who wrote them.
_ADOBE_MARKER = np.frombuffer(b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00", np.uint8)

EncodedImage = NDArray[np.uint8]


class DaliExecutor:
    """Runs batches of encoded images through the contract. Not thread-safe; one for each model instance.

    No image reaches the decoder before its header was read. A JPEG far larger than the contract needs is decoded at a
    fraction of its size where the contract allows it.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int) -> None:
        self._contract = contract
        self._encoded = CpuLane(contract, max_batch, threads, encoded=True)
        self._reduced = CpuLane(contract, max_batch, threads, encoded=False)
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="jpeg")

    def run(self, images: Sequence[EncodedImage]) -> list[Result]:
        """One result for each image of encoded bytes, UINT8 (n,), in order; at most `max_batch` of them.

        A failure that is not of an image's making is the result of the image it happened with, as RuntimeError.
        """
        large_reduced = self._reduced_where_allowed([_job(image, self._contract) for image in images])
        jobs = _all_sound(large_reduced, self._readers.map)
        encoded = iter(self._encoded.run([job for job in jobs if isinstance(job, Job) and job.is_encoded]))
        reduced = iter(self._reduced.run([job for job in jobs if isinstance(job, Job) and not job.is_encoded]))
        return [next(encoded if job.is_encoded else reduced) if isinstance(job, Job) else job for job in jobs]

    def _reduced_where_allowed(self, jobs: list[Job | Undecodable]) -> list[Job | Undecodable]:
        """Large JPEGs decoded at a fraction of their size, several at once; the rest as it is."""
        large = [job for job in jobs if isinstance(job, Job) and _fraction(job, self._contract) > 1]
        if not large:
            return jobs
        smaller = iter(self._readers.map(self._at_a_fraction, large))
        return [next(smaller) if isinstance(job, Job) and _fraction(job, self._contract) > 1 else job for job in jobs]

    def _at_a_fraction(self, job: Job) -> Job:
        by = _fraction(job, self._contract)
        pixels = reduced_jpeg.decode(job.source, job.header.height, job.header.width, by)
        return job if pixels is None else dataclasses.replace(job, source=pixels, fraction=by)


class DaliGpuExecutor:
    """The same on a GPU: decoded, resized and finished there, and left there as `DeviceTensor`. Not thread-safe.

    Images are decoded in full: a GPU decodes faster than the CPU would read a fraction.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int, device: Device | None = None) -> None:
        self._contract = contract
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="jpeg")
        self._lanes = GpuLanes(contract, max_batch, threads, device or Device())

    def run(self, images: Sequence[EncodedImage]) -> list[GpuResult]:
        """As `DaliExecutor.run`. The pixels of images decoded together lie one after the other."""
        jobs = _all_sound([_job(image, self._contract) for image in images], self._readers.map)
        done = iter(self._lanes.run([job for job in jobs if isinstance(job, Job)]))
        return [next(done) if isinstance(job, Job) else job for job in jobs]

    def warm_up(self) -> None:
        """Build what else is built when first needed. Raises RuntimeError where DALI fails."""
        jobs = [_job(_picture(form), self._contract) for form in ("JPEG", "BMP")]
        self._lanes.warm_up(*(job for job in jobs if isinstance(job, Job)))


def _picture(form: str) -> EncodedImage:
    encoded = io.BytesIO()
    PIL.Image.new("RGB", (64, 64)).save(encoded, form)
    return np.frombuffer(encoded.getvalue(), np.uint8)


def _job(image: EncodedImage, contract: Contract) -> Job | Undecodable:
    try:
        encoded = image.tobytes()
        header = headers.read(encoded)
        png_surplus.check(encoded, header)
    except headers.Refused as refusal:
        return Undecodable(str(refusal))
    if header.unmarked_inks:
        image = np.concatenate((image[:2], _ADOBE_MARKER, image[2:]))
        header = dataclasses.replace(header, scan=header.scan and header.scan + _ADOBE_MARKER.size)
    if header.format == "webp" and (even := headers.evened(encoded)) is not encoded:
        image = np.frombuffer(even, np.uint8)
    if contract.orientation == "ignore":
        header = dataclasses.replace(header, orientation=1)
    return Job(image, header, geometry.plan(*geometry.upright_size(header), contract))


def _fraction(job: Job, contract: Contract) -> int:
    return reduced_jpeg.fraction(job.header, job.plan.resized, contract)


def is_reduced(image: EncodedImage, contract: Contract) -> bool:
    """Whether `DaliExecutor` decodes this image at a fraction of its size, as far as its header tells: one that is
    damaged further on is decoded in full, and judged so."""
    job = _job(image, contract)
    return isinstance(job, Job) and _fraction(job, contract) > 1 and reduced_jpeg.becomes_rgb(job.source)


def _all_sound(
    jobs: Sequence[Job | Undecodable], each: Callable[..., Iterable[Job | Undecodable | RuntimeError]]
) -> list[Job | Undecodable | RuntimeError]:
    """In place of images that DALI is not to be given, some that it is, of the same pixels, made several at once."""
    marks = [isinstance(job, Job) and job.is_encoded and unsound_jpeg.is_one(job.source, job.header) for job in jobs]
    if not any(marks):
        return list(jobs)
    made = iter(each(_made_sound, [job for job, unsound in zip(jobs, marks, strict=True) if unsound]))
    return [next(made) if unsound else job for job, unsound in zip(jobs, marks, strict=True)]


def _made_sound(job: Job) -> Job | Undecodable | RuntimeError:
    try:
        bmp = unsound_jpeg.as_bmp(job.source.tobytes())
    except headers.Damaged as refusal:
        return Undecodable(str(refusal))
    except MemoryError:
        return RuntimeError(f"there is no memory for the pixels of {job.header.width}x{job.header.height}")
    header = dataclasses.replace(job.header, format="bmp")
    return dataclasses.replace(job, source=np.frombuffer(bmp, np.uint8), header=header)
