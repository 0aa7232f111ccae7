"""Import torchvision, also where its compiled operators do not fit the torch that is installed (a CPU-only build).

Its transforms and architectures are plain Python and need none of them; the import alone asks that they be declared.
"""

from __future__ import annotations

from typing import Any

import pytest


def torchvision() -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed; run `make test-torch`")
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed; run `make test-torch`")
    return torchvision
