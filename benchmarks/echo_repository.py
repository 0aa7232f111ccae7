"""A model repository that looks like ours to the gateway and costs next to nothing: the ensemble answers a constant.

What is left of a request is then the gateway and Triton's own way in and out: gRPC, the batcher, shared memory and the
Python backend. The name, the tensors and the golden answer are those of the default model, so the gateway serves it as
it serves any other.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fovea_pipelines.package import BestClass, ModelPackage
from fovea_pipelines.triton_folders import Network

_CONFIG = """\
name: "{network.ensemble}"
backend: "python"
max_batch_size: 64
input [ {{ name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] allow_ragged_batch: true }} ]
output [
  {outputs},
  {{ name: "QUALITY" data_type: TYPE_FP32 dims: [ 3 ] }},
  {{ name: "PREPROCESS_SPAN" data_type: TYPE_INT64 dims: [ 2 ] }}
]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{ max_queue_delay_microseconds: 0 }}
"""

_MODEL = '''\
"""Answers every image with the golden image's answer, and looks at none."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        scores = np.zeros((1, {classes}), np.float32)
        scores[0, {best.index}] = {best.score}
        arrays = {{
            "SCORES": scores,
            "EMBEDDING": np.ones((1, {features}), np.float32),
            "QUALITY": np.zeros((1, 3), np.float32),
            "MODEL_SPAN": np.zeros((1, 2), np.int64),
            "PREPROCESS_SPAN": np.zeros((1, 2), np.int64),
        }}
        self._tensors = [pb_utils.Tensor(name, array) for name, array in arrays.items()]

    def execute(self, requests):
        return [pb_utils.InferenceResponse(self._tensors) for _ in requests]
'''


def write(given: Path, folder: Path) -> None:
    """A copy of the repository `given` in `folder`, with an echo in the place of the default model's ensemble."""
    shutil.copytree(given, folder, ignore=shutil.ignore_patterns("__pycache__"))
    package = ModelPackage.read(folder / "efficientnet_lite0")
    network, best = Network.of(package), package.golden.expected
    assert isinstance(best, BestClass)
    outputs = ",\n  ".join(f'{{ name: "{name}" {declared} }}' for name, declared in network.outputs.items())
    echo = folder / network.ensemble
    shutil.rmtree(echo)
    (echo / "1").mkdir(parents=True)
    (echo / "config.pbtxt").write_text(_CONFIG.format(network=network, outputs=outputs))
    model = _MODEL.format(classes=network.classes, features=network.features, best=best)
    (echo / "1" / "model.py").write_text(model)
