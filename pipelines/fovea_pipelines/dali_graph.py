"""The contract as DALI operators, with every setting that changes pixels made explicit."""

from __future__ import annotations

from typing import Any

from nvidia.dali import fn, math, types

from fovea_pipelines import quality
from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadContract

_KERNELS = {
    "nearest": types.INTERP_NN,
    "bilinear": types.INTERP_LINEAR,
    "bicubic": types.INTERP_CUBIC,
    "lanczos": types.INTERP_LANCZOS3,
}


def decoded(encoded: Any) -> Any:
    """Pixels as stored, on the CPU.

    The orientation is left alone: nvImageCodec 0.9 reads it twice, once to lay out the buffer and once to rotate into
    it, and writes past the buffer where a crafted file makes the two differ. Turning the few pixels that are left
    upright afterwards is also cheaper.
    """
    return _decoded(encoded, device="cpu", apply_orientation=False)


def stored(contract: Contract, image: Any, begin: Any, end: Any, size: Any) -> tuple[Any, Any]:
    """Resized pixels, not yet upright, and their quality measures, which do not depend on that.

    `begin` and `end` are the region that is kept, as (row, column) in source pixels, `size` what it is resized to.
    """
    pixels = _resized(contract, image, begin, end, size)
    return pixels, quality.dali_measures(pixels)


def upright(contract: Contract, encoded: Any) -> tuple[Any, Any]:
    """Upright pixels and their quality measures, from the encoded bytes alone; decoded on the GPU, and left there.

    Raises BadContract for what this graph does not do.
    """
    does = {"resize": "short_side", "crop": "centre", "colour": "RGB"}
    for name, value in does.items():
        if getattr(contract, name) != value:
            raise BadContract(
                f"contract.{name} is {getattr(contract, name)!r}; Triton's DALI backend does {value!r} only"
            )
    image = _decoded(encoded, device="mixed", apply_orientation=contract.orientation == "apply")
    begin, end = _kept_region(image.shape(), contract)
    pixels = _resized(contract, image, begin, end, [contract.output_height, contract.output_width])
    return pixels, quality.dali_measures(pixels)


def _decoded(encoded: Any, *, device: str, apply_orientation: bool) -> Any:
    return fn.decoders.image(
        encoded,
        device=device,
        output_type=types.RGB,
        adjust_orientation=apply_orientation,
        # Triangle-filtered chroma, what libjpeg and therefore Pillow does; without it edges of colours move.
        jpeg_fancy_upsampling=True,
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
        interp_type=_KERNELS[contract.kernel],
        # The kernel's support grows with the shrink factor, as Pillow's does.
        antialias=contract.antialias,
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
