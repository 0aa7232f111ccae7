"""What all peers serve: pixels by Pillow, the network by OpenVINO, one image after the other on one thread."""

from __future__ import annotations

import io
import os

import numpy as np
import openvino
from PIL import Image, ImageOps

_KEPT = 224  # pixels each way
_SHORT_SIDE = 256


def pixels(encoded: bytes | Image.Image) -> np.ndarray:
    """Upright, the short side resized to 256, the middle 224 x 224 of it: UINT8 (224, 224, 3)."""
    image = encoded if isinstance(encoded, Image.Image) else Image.open(io.BytesIO(encoded))
    image = ImageOps.exif_transpose(image).convert("RGB")
    width, height = image.size
    if width < height:
        size = _SHORT_SIDE, int(_SHORT_SIDE * height / width)
    else:
        size = int(_SHORT_SIDE * width / height), _SHORT_SIDE
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - _KEPT) / 2), round((size[1] - _KEPT) / 2)
    return np.asarray(image.crop((left, top, left + _KEPT, top + _KEPT)))


class Classifier:
    """The graph that PEER_MODEL names. Every peer runs a process a core, so one thread each: more would fight."""

    def __init__(self) -> None:
        core = openvino.Core()
        graph = core.read_model(os.environ["PEER_MODEL"])
        # Compiled for one image: on a CPU larger batches gain nothing, and a size that varies is compiled again.
        graph.reshape({"PIXELS": [1, _KEPT, _KEPT, 3]})
        options = {
            "INFERENCE_PRECISION_HINT": os.environ["PEER_PRECISION"],
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # pinned, all processes would sit on the first core
        }
        self._network = core.compile_model(graph, "CPU", options)

    def best(self, image: np.ndarray) -> tuple[int, float]:
        """The likeliest class and its score, for UINT8 (224, 224, 3)."""
        scores = self._network({"PIXELS": image[np.newaxis]})["SCORES"][0]
        index = int(scores.argmax())
        return index, float(scores[index])
