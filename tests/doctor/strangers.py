"""Model repositories as strangers write them, made by code."""

from __future__ import annotations

from pathlib import Path

# As NVIDIA's DALI example has it: floats between the stages, both sides of the picture fixed, nothing ragged.
DALI_CONFIG = """\
name: "dali"
backend: "dali"
max_batch_size: 256
input [ { name: "ENCODED" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "PIXELS" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
parameters { key: "num_threads" value { string_value: "8" } }
"""
DALI_SOURCE = """\
import nvidia.dali as dali
from nvidia.dali import fn
from nvidia.dali.plugin.triton import autoserialize

@autoserialize
@dali.pipeline_def(batch_size=256, num_threads=8, device_id=None)
def pipe():
    images = fn.decoders.image(fn.external_source(name="ENCODED"), output_type=dali.types.RGB)
    images = fn.resize(images, resize_x=224, resize_y=224)
    return fn.crop_mirror_normalize(images, dtype=dali.types.FLOAT, mean=[123.0], std=[58.0])
"""
NETWORK_CONFIG = """\
name: "network"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [ { name: "input" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ 1000 ] } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] }
"""
ENSEMBLE_CONFIG = """\
name: "whole"
platform: "ensemble"
max_batch_size: 16
input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "SCORES" data_type: TYPE_FP32 dims: [ 1000 ] } ]
ensemble_scheduling { step [
  { model_name: "dali" model_version: -1
    input_map { key: "ENCODED" value: "IMAGE" } output_map { key: "PIXELS" value: "pixels" } },
  { model_name: "network" model_version: -1
    input_map { key: "input" value: "pixels" } output_map { key: "scores" value: "SCORES" } }
] }
"""


def naive(folder: Path) -> Path:
    """A DALI ensemble as the examples show it."""
    model(folder, "dali", DALI_CONFIG, {"dali.py": DALI_SOURCE})
    model(folder, "network", NETWORK_CONFIG, {"model.onnx": ""})
    model(folder, "whole", ENSEMBLE_CONFIG, {})
    return folder


def model(folder: Path, name: str, config: str, files: dict[str, str | bytes]) -> None:
    version = folder / name / "1"
    version.mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(config)
    for file, content in files.items():
        (version / file).write_bytes(content.encode() if isinstance(content, str) else content)


def python(name: str, rest: str, batch: int = 8) -> str:
    return f'name: "{name}"\nbackend: "python"\nmax_batch_size: {batch}\n{rest}'
