"""The contract on the GPU: decoded, resized, turned upright and put on its canvas there, and left there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from fovea_pipelines import dali_graph, geometry
from fovea_pipelines.contract import Contract
from fovea_pipelines.dali_graph import OnGpu
from fovea_pipelines.dali_lanes import Job, Lane, fed, fed_passes, feed
from fovea_pipelines.gpu.device_tensor import CPU, CUDA, DeviceTensor
from fovea_pipelines.preprocessed import Undecodable
from fovea_pipelines.trusted_jpeg import is_trusted

# Of one batch, as decoded: 200 million pixels take 600 MB of GPU memory, whatever was asked at once.
_MOST_PIXELS = 200_000_000


@dataclass(frozen=True)
class Device:
    """Which GPU, and how its decoder is set; `place` None runs the same graph on the CPU, to test it without a GPU."""

    place: int | None = 0
    decoding: OnGpu = field(default_factory=OnGpu)


@dataclass(frozen=True)
class OnDevice:
    """As `Preprocessed`, but the pixels lie on the GPU."""

    pixels: DeviceTensor
    quality: NDArray[np.float32]


GpuResult = OnDevice | Undecodable | RuntimeError


class GpuLane(Lane[OnDevice]):
    """On the GPU, from encoded bytes. `host_decoder` decodes on the CPU and does only the rest on the GPU."""

    def __init__(self, contract: Contract, max_batch: int, threads: int, device: Device, *, host_decoder: bool) -> None:
        super().__init__(contract, max_batch, threads)
        self._device = device
        self._host_decoder = host_decoder or device.place is None
        self._has_canvas = contract.resize == "letterbox"

    def run_together(self, jobs: Sequence[Job]) -> list[OnDevice]:
        return [result for part in _parts(jobs) for result in super(GpuLane, self).run_together(part)]

    def _build(self) -> Pipeline:
        pipeline = Pipeline(
            batch_size=self._max_batch,
            num_threads=self._threads,
            device_id=self._device.place,
            prefetch_queue_depth=1,
            exec_dynamic=True,
        )
        with pipeline:
            source = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1)
            image = dali_graph.decoded(source, None if self._host_decoder else self._device.decoding)
            if self._device.place is not None:
                image = image.gpu()
            passes, (kept,) = fed_passes(self._contract), fed("kept")
            matrix = fn.external_source(name="matrix", device="cpu", dtype=types.FLOAT, ndim=2)
            place = None
            if self._has_canvas:  # an input that nothing reads is not one
                place = fn.external_source(name="place", device="cpu", dtype=types.INT32, ndim=1)
            pixels, measures = dali_graph.stored(self._contract, image, passes)
            pixels = dali_graph.finished(self._contract, pixels, matrix, kept, place)
            # Twelve bytes an image, which the gateway wants on the host.
            pipeline.set_outputs(pixels, measures.cpu())
        pipeline.build()
        return pipeline

    def _run(self, pipeline: Pipeline, jobs: Sequence[Job]) -> list[OnDevice]:
        feed(pipeline, jobs, self._contract)
        pipeline.feed_input("matrix", np.stack([geometry.stored_place(job.header, job.plan) for job in jobs]))
        pipeline.feed_input("kept", np.array([job.plan.size for job in jobs], dtype=np.float32))
        if self._has_canvas:
            pipeline.feed_input("place", np.array([job.plan.place for job in jobs], dtype=np.int32) * -1)
        pixels, measures = pipeline.run()  # waits for the GPU
        return [OnDevice(self._tensor(pixels[place], owner=pixels), measures.at(place)) for place in range(len(jobs))]

    def _tensor(self, image: Any, owner: object) -> DeviceTensor:
        """DALI's own tensor, where it lies; those of one batch lie one after the other."""
        where = (CPU, 0) if self._device.place is None else (CUDA, self._device.place)
        return DeviceTensor(image.data_ptr(), tuple(image.shape()), np.dtype(np.uint8), where, (image, owner))


class GpuLanes:
    """The decoder of the GPU where it is to be trusted, the CPU's for everything else.

    Formats other than JPEG, JPEGs of four inks, and those whose end is missing go to the CPU's decoder at once, and so
    does every batch that the GPU's decoder fails on: what is an image and what is not is then judged as it is on a
    machine without a GPU. Where one of them is none, it is found by a pipeline without a GPU, image by image, of which
    a new one for each that fails is cheap.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int, device: Device) -> None:
        self._trusted = GpuLane(contract, max_batch, threads, device, host_decoder=False)
        self._judged = GpuLane(contract, max_batch, threads, device, host_decoder=True)
        self._judge = GpuLane(contract, max_batch, threads, Device(place=None), host_decoder=True)

    def warm_up(self, jpeg: Job, other: Job) -> None:
        """Build the pipelines, and let each make one image. Raises RuntimeError where one cannot."""
        self._trusted.run_together([jpeg])
        self._judged.run_together([other])
        self._judge.run_together([other])

    def run(self, jobs: Sequence[Job]) -> list[GpuResult]:
        marks = [job.header.format == "jpeg" and is_trusted(job.source.tobytes()) for job in jobs]
        done = self._on_gpu([job for job, trusted in zip(jobs, marks, strict=True) if trusted])
        if done is None:
            return self._sorted_out(jobs)
        judged = iter(self._by_the_cpus_decoder([job for job, trusted in zip(jobs, marks, strict=True) if not trusted]))
        decoded = iter(done)
        return [next(decoded if trusted else judged) for trusted in marks]

    def _by_the_cpus_decoder(self, jobs: Sequence[Job]) -> list[GpuResult]:
        try:
            return list(self._judged.run_together(jobs))
        except RuntimeError:
            return self._sorted_out(jobs)

    def _sorted_out(self, jobs: Sequence[Job]) -> list[GpuResult]:
        verdicts = self._judge.run(jobs)
        sound = iter(self._judged.run([job for job, found in zip(jobs, verdicts, strict=True) if _is_made(found)]))
        return [next(sound) if _is_made(found) else found for found in verdicts]

    def _on_gpu(self, jobs: Sequence[Job]) -> list[OnDevice] | None:
        try:
            return self._trusted.run_together(jobs)
        except RuntimeError:
            return None


def _is_made(result: GpuResult) -> bool:
    return isinstance(result, OnDevice)


def _parts(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """Batches of so many pixels as fit into memory together."""
    begin, pixels = 0, 0
    for place, job in enumerate(jobs):
        size = job.header.height * job.header.width
        if place > begin and pixels + size > _MOST_PIXELS:
            yield jobs[begin:place]
            begin, pixels = place, 0
        pixels += size
    if begin < len(jobs):
        yield jobs[begin:]
