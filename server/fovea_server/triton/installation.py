"""Find a tritonserver on this machine, and say before it starts what would keep it from working."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fovea_server.errors import StartError
from fovea_server.triton import device as devices
from fovea_server.triton.device import Device

_CONTAINER = Path("/opt/tritonserver")
_WHEEL_NEEDS_GLIBC = (2, 35)


@dataclass(frozen=True)
class Installation:
    """A tritonserver and what must surround it.

    binary       the executable
    backends     where its backends lie
    stub         the Python backend's process for the running Python; None where `backends` already holds it
    libraries    folders for LD_LIBRARY_PATH
    config_name  which of a model's configurations it takes (`--model-config-name`); None for `config.pbtxt`
    """

    binary: Path
    backends: Path
    stub: Path | None
    libraries: tuple[Path, ...]
    config_name: str | None


def is_container() -> bool:
    return (_CONTAINER / "bin/tritonserver").is_file()


def find(device: Device) -> Installation:
    """NVIDIA's container where we run inside it, else the server inside `nvidia-pytriton`. Raises StartError."""
    if is_container():
        return _in_container(on_gpu=device == "cuda")
    return _in_wheel(device)


def _in_container(*, on_gpu: bool) -> Installation:
    return Installation(
        binary=_CONTAINER / "bin/tritonserver",
        backends=_CONTAINER / "backends",
        stub=None,
        libraries=tuple(Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder),
        config_name=None if on_gpu else "cpu",
    )


def _in_wheel(device: Device) -> Installation:
    root = _wheel_root()
    _check_glibc()
    check_numpy(metadata.version("numpy"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        known = sorted(folder.name for folder in stub.parents[1].iterdir())
        raise StartError(
            f"nvidia-pytriton has no Python backend for Python {version}; it has {', '.join(known)}",
            hint="make the environment with one of those versions",
        )
    return Installation(
        binary=root / "bin/tritonserver",
        backends=root / "backends",
        stub=stub,
        libraries=(root.parents[1] / "nvidia_pytriton.libs", shared_libpython(), *_drivers(device)),
        config_name=device,
    )


def _drivers(device: Device) -> tuple[Path, ...]:
    return devices.libraries() if device == "cuda" else ()


def _wheel_root() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise StartError(
            "no tritonserver on this machine: neither NVIDIA's container nor the Python package nvidia-pytriton",
            hint="pip install 'fovea-server[cpu]'",
        )
    return Path(spec.origin).parent / "tritonserver"


def _check_glibc() -> None:
    library, version = platform.libc_ver()
    found = tuple(int(part) for part in version.split(".")[:2]) if version else ()
    if library != "glibc" or found < _WHEEL_NEEDS_GLIBC:
        needs = ".".join(map(str, _WHEEL_NEEDS_GLIBC))
        raise StartError(
            f"nvidia-pytriton's tritonserver needs glibc {needs}; this system has {library or 'no glibc'} {version}",
            hint="use Debian 12, Ubuntu 22.04 or newer, or NVIDIA's Triton container (Dockerfile.gpu)",
        )


def check_numpy(version: str) -> None:
    """Triton's Python backend cannot read the tensors of NumPy 2. Raises StartError."""
    if int(version.partition(".")[0]) >= 2:
        raise StartError(
            f"NumPy {version} is installed; Triton's Python backend needs NumPy 1",
            hint="pip install 'numpy<2'",
        )


def shared_libpython() -> Path:
    """The folder of the running Python's shared library, which the Python backend links. Raises StartError."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib", f"{sys.prefix}/lib"]
    for folder in folders:
        if folder and (Path(folder) / name).is_file():
            return Path(folder)
    if found := _loadable(name):
        return found.parent
    raise StartError(
        f"this Python ({sys.executable}) has no shared library {name}, which Triton's Python backend needs",
        hint=f"apt-get install libpython{sys.version_info.major}.{sys.version_info.minor}, "
        "or use a Python built with --enable-shared",
    )


def _loadable(name: str) -> Path | None:
    """Where the dynamic linker finds a library; None if it does not."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    mapped = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines())
    return next((Path(path) for path in mapped if path.endswith(f"/{name}")), None)
