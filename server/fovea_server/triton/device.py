"""Whether the models run on the CPU or on an NVIDIA GPU, and what keeps them from the latter."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found
from fovea_pipelines.package import ModelPackage
from fovea_server.errors import StartError
from fovea_server.triton.repository import has_plan

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Choice:
    """`name` says which processor it is; `reason` why it is not a GPU, None where nobody wanted one."""

    device: Device
    name: str
    reason: str | None = None


def choose(wish: str, packages: Sequence[ModelPackage], *, in_container: bool) -> Choice:
    """A GPU where there is one that can be used, unless `wish` says otherwise. Raises StartError where it says "cuda"
    and that cannot be."""
    if wish == "cpu":
        return Choice("cpu", "CPU")
    try:
        gpu = found.first()
        (_check_plans if in_container else _check_installed)(packages)
    except NoGpu as trouble:
        if wish == "cuda":
            raise StartError(
                f"--device is cuda, but {trouble}", trouble.hint or "use the CPU: --device cpu"
            ) from trouble
        return Choice("cpu", "CPU", str(trouble))
    return Choice("cuda", gpu.name)


def _check_plans(packages: Sequence[ModelPackage]) -> None:
    """NVIDIA's container runs a network by its TensorRT plan. Raises NoGpu where one is missing."""
    for package in packages:
        if not has_plan(package):
            raise NoGpu(f"{package.name} has no TensorRT plan", "make it with `fovea models build --engine tensorrt`")


def _check_installed(packages: Sequence[ModelPackage]) -> None:
    """Raise NoGpu unless all that the models need on a GPU is installed."""
    if find_spec("onnxruntime") is None and find_spec("tensorrt") is None:
        raise NoGpu("neither ONNX Runtime nor TensorRT is installed", "pip install 'fovea-server[gpu]'")
    if not any(map(_loads, _driver_library())):
        raise NoGpu(
            "Triton looks for libcuda.so, and there is only libcuda.so.1",
            f"link the one to the other: ln -s /path/to/libcuda.so.1 {Path(sys.prefix) / 'lib/libcuda.so'}",
        )
    for package in packages:
        if not (package.folder / "configs/cuda.pbtxt").is_file():
            raise NoGpu(
                f"{package.name} has no configuration for a GPU (configs/cuda.pbtxt)",
                f"add it again: fovea models remove {package.name}, then fovea models add",
            )


def libraries() -> tuple[Path, ...]:
    """Folders in which Triton's Python backend finds the driver's library by the name it uses."""
    mapped = (line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines())
    driver = dict.fromkeys(Path(path).parent for path in mapped if Path(path).name.startswith("libcuda.so"))
    return (*driver, Path(sys.prefix) / "lib")


def _driver_library() -> Iterator[str]:
    yield "libcuda.so"
    yield str(Path(sys.prefix) / "lib/libcuda.so")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
