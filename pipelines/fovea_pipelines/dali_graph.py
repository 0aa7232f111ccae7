"""The contract as DALI operators, with every setting that changes pixels made explicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nvidia.dali import fn, math, types

from fovea_pipelines import geometry, quality
from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadContract

_KERNELS = {
    "nearest": types.INTERP_NN,
    "bilinear": types.INTERP_LINEAR,
    "bicubic": types.INTERP_CUBIC,
    "lanczos": types.INTERP_LANCZOS3,
}


@dataclass(frozen=True)
class OnGpu:
    """How JPEGs are decoded on a GPU.

    hardware_load      the share of them given to the GPU's JPEG engines, where it has any; its kernels, helped by the
                       CPU, do the others. 0.65 is DALI's own choice; `make gpu-check` measures others
    largest            (height, width) for which the engines' buffers are made at the start: of 2 megapixels, a batch of
                       64 takes 400 MB. Larger images work; their first makes the buffers anew, and all wait for it
    """

    hardware_load: float = 0.65
    largest: tuple[int, int] = (1088, 1920)


def decoded(encoded: Any, on_gpu: OnGpu | None = None) -> Any:
    """Pixels as stored, on the CPU, or on the GPU where that is given.

    The orientation is left alone: nvImageCodec 0.9 reads it twice, once to lay out the buffer and once to rotate into
    it, and writes past the buffer where a crafted file makes the two differ. Turning the few pixels that are left
    upright afterwards is also cheaper.
    """
    if on_gpu is None:
        return _decoded(encoded, device="cpu", apply_orientation=False)
    return _decoded(
        encoded,
        device="mixed",
        apply_orientation=False,
        hw_decoder_load=on_gpu.hardware_load,
        preallocate_height_hint=on_gpu.largest[0],
        preallocate_width_hint=on_gpu.largest[1],
    )


Region = tuple[Any, Any, Any]  # from (row, column) to (row, column) in source pixels, and the size it is resized to


def resized(contract: Contract, image: Any, passes: Sequence[Region]) -> Any:
    """Resized pixels, not yet upright. `passes` are made one after the other: `geometry.passes`."""
    for region in passes:
        image = _resized(contract, image, *region)
    return image


def stored(contract: Contract, image: Any, passes: Sequence[Region]) -> tuple[Any, Any]:
    """Resized pixels, not yet upright, and their quality measures, which do not depend on that."""
    image = resized(contract, image, passes)
    return image, quality.dali_measures(image)


def finished(contract: Contract, pixels: Any, matrix: Any, size: Any, place: Any) -> Any:
    """Stored pixels turned upright, on the contract's canvas, in its order of colours.

    `matrix` (2, 3) says for each place (column, row, 1) of the upright pixels, which are `size` (height, width), where
    it lies in the stored ones: `geometry.stored_place`. It only swaps and mirrors whole pixels, so nothing is
    interpolated. `place` is minus the (top, left) of the pixels on the canvas.
    """
    pixels = fn.warp_affine(pixels, matrix=matrix, size=size, interp_type=types.INTERP_NN)
    if contract.resize == "letterbox":
        pixels = fn.slice(
            pixels,
            start=place,
            shape=[contract.output_height, contract.output_width],
            axes=(0, 1),
            out_of_bounds_policy="pad",
            fill_values=list(contract.fill),
        )
    if contract.colour == "BGR":
        pixels = fn.color_space_conversion(pixels, image_type=types.RGB, output_type=types.BGR)
    return pixels


def upright(contract: Contract, encoded: Any) -> tuple[Any, Any]:
    """Upright pixels and their quality measures, from the encoded bytes alone; decoded on the GPU, and left there.

    Raises BadContract for what this graph does not do.
    """
    if problem := contract.beyond_triton_dali():
        raise BadContract(problem)
    image = _decoded(encoded, device="mixed", apply_orientation=contract.orientation == "apply")
    begin, end = _kept_region(image.shape(), contract)
    height, width = float(contract.output_height), float(contract.output_width)
    if geometry.count_of_passes(contract) == 1:
        return stored(contract, image, [(begin, end, [height, width])])
    rows = fn.cast(image.shape()[0], dtype=types.FLOAT)
    across = fn.stack(0.0, begin[1]), fn.stack(rows, end[1]), fn.stack(rows, width)
    down = fn.stack(begin[0], 0.0), fn.stack(end[0], width), [height, width]
    return stored(contract, image, [across, down])


def _decoded(encoded: Any, *, device: str, apply_orientation: bool, **settings: Any) -> Any:
    return fn.decoders.image(
        encoded,
        device=device,
        output_type=types.RGB,
        adjust_orientation=apply_orientation,
        # Triangle-filtered chroma, what libjpeg and therefore Pillow does; without it edges of colours move.
        jpeg_fancy_upsampling=True,
        **settings,
    )


def _resized(contract: Contract, image: Any, begin: Any, end: Any, size: Any) -> Any:
    """Resizing only the region that the crop keeps gives the pixels of resizing all and cropping then, for less work;
    and a 50000x1 image costs no more memory than any other."""
    return fn.resize(
        image,
        size=size,
        roi_start=begin,
        roi_end=end,
        roi_relative=False,
        # One kernel both ways: it also takes the place of `min_filter` and `mag_filter`.
        interp_type=_KERNELS[contract.kernel],
        # The kernel's support grows with the shrink factor, as Pillow's does.
        antialias=contract.antialias,
        # The region becomes the size, neither is adjusted to the other. Sizes are whole, so True gives the same pixels.
        subpixel_scale=False,
        # Rounded and cut to 0..255 after each pass, as Pillow does.
        dtype=types.UINT8,
    )


def _kept_region(shape: Any, contract: Contract) -> tuple[Any, Any]:
    """`geometry.cut` for an upright image, in DALI's arithmetic: (top, left) and (bottom, right)."""
    height, width = shape[0], shape[1]
    shorter = math.min(height, width)
    begins, ends = [], []
    for source, crop in ((height, contract.output_height), (width, contract.output_width)):
        resized = source * contract.resize_to // shorter
        start = _half_to_even(resized - crop)
        scale = source / fn.cast(resized, dtype=types.FLOAT)
        begins.append(start * scale)
        ends.append((start + crop) * scale)
    return fn.stack(*begins), fn.stack(*ends)


def _half_to_even(margin: Any) -> Any:
    """`margin` / 2 for whole numbers, halves rounded to even."""
    half = margin // 2
    return half + (margin - 2 * half) * (half - 2 * (half // 2))
