"""The contract as a DALI pipeline, and an executor that survives images it cannot decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, math, types
from nvidia.dali.pipeline import Pipeline

from fovea_pipelines import quality
from fovea_pipelines.contract import Contract

_KERNELS = {"bilinear": types.INTERP_LINEAR}
_INPUT = "IMAGE"
_DECODER = "fn.decoders.image"

EncodedImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessed:
    """What a model needs of one image: `pixels` UINT8 (height, width, 3) and `quality` FP32 (3,)."""

    pixels: NDArray[np.uint8]
    quality: NDArray[np.float32]


class Undecodable(Exception):
    """These bytes are not an image this decoder can read."""


def graph(contract: Contract, encoded: Any, device: str = "cpu") -> tuple[Any, Any]:
    """The contract as DALI operators: from encoded bytes to pixels and quality measures.

    `device` is "cpu", or "mixed" to decode on the GPU and stay there.
    """
    image = fn.decoders.image(
        encoded,
        device=device,
        output_type=types.RGB,
        adjust_orientation=contract.orientation == "apply",
        # Triangle-filtered chroma, what libjpeg and therefore Pillow does; without it edges of colours move.
        jpeg_fancy_upsampling=True,
    )
    begin, end = _source_region(image.shape(), contract)
    # Resizing only the region that the crop keeps gives the same pixels as resizing all and cropping then, for less
    # work; and a 1x50000 image costs no more memory than any other.
    pixels = fn.resize(
        image,
        size=[contract.output_height, contract.output_width],
        roi_start=begin,
        roi_end=end,
        roi_relative=False,
        interp_type=_KERNELS[contract.kernel],
        # The kernel's support grows with the shrink factor, as Pillow's does.
        antialias=contract.antialias,
        dtype=types.UINT8,
    )
    return pixels, quality.dali_measures(pixels)


def _source_region(shape: Any, contract: Contract) -> tuple[Any, Any]:
    """The part of the source that becomes the output: (top, left) and (bottom, right) in source pixels, not rounded.

    torchvision's arithmetic: the shorter side becomes `resize_to`, the longer is cut to whole pixels, then the middle
    is cropped.
    """
    height, width = shape[0], shape[1]
    shorter = math.min(height, width)
    tops_and_lefts, bottoms_and_rights = [], []
    for source, crop in ((height, contract.output_height), (width, contract.output_width)):
        resized = source * contract.resize_to // shorter
        start = _centre(resized, crop)
        scale = source / fn.cast(resized, dtype=types.FLOAT)
        tops_and_lefts.append(start * scale)
        bottoms_and_rights.append((start + crop) * scale)
    return fn.stack(*tops_and_lefts), fn.stack(*bottoms_and_rights)


def _centre(size: Any, crop: int) -> Any:
    """Where a centred crop begins: (size - crop) / 2, halves rounded to even as torchvision (Python) does."""
    margin = size - crop
    half = margin // 2
    return half + (margin - 2 * half) * (half - 2 * (half // 2))


class DaliExecutor:
    """Runs batches of encoded images through the contract on the CPU.

    DALI fails a whole batch for one bad image, does not say which it was, and its pipeline is no longer usable
    afterwards. So a failed batch is run again image by image on a fresh pipeline: the innocent are answered, the
    culprit gets `Undecodable`. Not thread-safe; one executor for each model instance.
    """

    def __init__(self, contract: Contract, max_batch: int, threads: int) -> None:
        self._contract = contract
        self._max_batch = max_batch
        self._threads = threads
        self._pipeline = self._build()

    def run(self, images: Sequence[EncodedImage]) -> list[Preprocessed | Undecodable]:
        """One result for each image of encoded bytes, UINT8 (n,), in order; at most `max_batch` of them.

        Raises RuntimeError for a failure that is not of an image's making.
        """
        if not images:
            return []
        try:
            return list(self._run_together(images))
        except RuntimeError as failure:
            self._pipeline = self._build()
            if _DECODER not in str(failure):
                raise
            if len(images) == 1:
                return [Undecodable("the decoder cannot read it; it is damaged or incomplete")]
        return [result for image in images for result in self.run([image])]

    def _run_together(self, images: Sequence[EncodedImage]) -> list[Preprocessed]:
        self._pipeline.feed_input(_INPUT, list(images))
        pixels, measures = self._pipeline.run()
        return [
            Preprocessed(image, values) for image, values in zip(pixels.as_array(), measures.as_array(), strict=True)
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
            encoded = fn.external_source(name=_INPUT, device="cpu", dtype=types.UINT8, ndim=1)
            pipeline.set_outputs(*graph(self._contract, encoded))
        pipeline.build()
        return pipeline
