"""Servers with other settings of the GPU's models: how many of each stage run, how long Triton waits for a batch."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import server
from benchmarks.photographs import CHECKOUT
from benchmarks.server import Server

_REPOSITORY = CHECKOUT / "model_repository"
_START = 120.0  # seconds, for CUDA's libraries and a session for each size of batch


@dataclass(frozen=True)
class Setting:
    """`pixels` is "device" or "host"; `delay` in microseconds; `threads` of each preprocessing instance."""

    preprocess: int = 1
    network: int = 1
    pixels: str = "device"
    delay: int = 500
    threads: int = 8
    hardware_load: float = 0.65
    precision: str = "f32"


# The first is what the configurations say.
SWEEP = (
    Setting(),
    Setting(preprocess=2),
    Setting(preprocess=2, network=2),
    Setting(preprocess=4, network=2),
    Setting(preprocess=2, network=2, pixels="host"),
    Setting(preprocess=2, network=2, delay=2000),
)


@contextlib.contextmanager
def started(setting: Setting) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="fovea-gpu-") as folder:
        repository = Path(folder, "models")
        shutil.copytree(_REPOSITORY, repository)
        write(setting, repository)
        options = ("--device", "cuda", "--max-in-flight", "512", "--start-timeout", str(_START))
        with server.started([*options, "--repository", str(repository)], _START) as under_test:
            yield under_test


def write(setting: Setting, repository: Path) -> None:
    """Change the copies' configurations to this setting."""
    for model, count in (("preprocess_224", setting.preprocess), ("efficientnet_lite0", setting.network)):
        path = repository / model / "configs/cuda.pbtxt"
        text = re.sub(r"count: \d+", f"count: {count}", path.read_text(encoding="utf-8"))
        text = re.sub(r"(max_queue_delay_microseconds:) \d+", rf"\1 {setting.delay}", text)
        for name in ("pixels", "threads", "hardware_load", "precision"):
            value = getattr(setting, name)
            text = re.sub(rf'(key: "{name}" value {{ string_value:) "[^"]*"', rf'\1 "{value}"', text)
        path.write_text(text, encoding="utf-8")
