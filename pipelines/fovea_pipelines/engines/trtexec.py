"""The command line of NVIDIA's trtexec, for where TensorRT comes without its builder for Python."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fovea_pipelines.errors import BadNetwork

_PRECISION = {"f16": ("--fp16",), "f32": (), "int8": ("--int8", "--fp16")}


@dataclass(frozen=True)
class Profile:
    """Batches of images of `size` (height, width, channels): at least, the ones to be fast with, and at most."""

    size: tuple[int, int, int]
    least: int
    best: int
    most: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        return (self.least, *self.size), (self.best, *self.size), (self.most, *self.size)


def command(tool: str, onnx: Path, plan: Path, cache: Path, precision: str, profile: Profile) -> list[str]:
    """Build `plan` of `onnx`, run nothing; what it learns of the GPU's kernels is kept in `cache`."""
    shapes = ("x".join(map(str, shape)) for shape in profile.shapes)
    ranges = (f"--{which}Shapes=PIXELS:{shape}" for which, shape in zip(("min", "opt", "max"), shapes, strict=True))
    return [
        tool,
        f"--onnx={onnx}",
        f"--saveEngine={plan}",
        f"--timingCacheFile={cache}",
        "--skipInference",
        *ranges,
        *_PRECISION[precision],
    ]


def run(words: Sequence[str]) -> None:
    """Raises BadNetwork with its last error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
        raise BadNetwork(f"trtexec could not make a plan: {(errors or ['it said nothing'])[-1].strip()}")
