"""What preprocessing makes of an image, whoever does it. Free of DALI, whose import takes 70 MB of a process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Preprocessed:
    """What a model needs of one image: `pixels` UINT8 (height, width, 3) and `quality` FP32 (3,)."""

    pixels: NDArray[np.uint8]
    quality: NDArray[np.float32]


class Undecodable(Exception):
    """These bytes are not an image this decoder can read, or may be given."""


Result = Preprocessed | Undecodable | RuntimeError
