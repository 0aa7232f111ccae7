"""KServe v2 inference over HTTP as bytes: JSON, and tensors behind it as they are in memory.

Source: the Open Inference Protocol's REST API, and Triton's extension "Binary Tensor Data".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from fovea_server.triton.connections import Answer

_DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "UINT8": np.dtype("u1")}


def question(size: int, request_id: str, parameters: Mapping[str, str | int], outputs: Collection[str]) -> bytes:
    """The JSON before one encoded image of `size` bytes, UINT8 (1, bytes); no `outputs` are all of them."""
    said: dict[str, Any] = {
        "id": request_id,
        "parameters": {"binary_data_output": True, **parameters},
        "inputs": [
            {"name": "IMAGE", "datatype": "UINT8", "shape": [1, size], "parameters": {"binary_data_size": size}}
        ],
    }
    if outputs:
        said["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    return orjson.dumps(said)


def tensors(answer: Answer) -> dict[str, NDArray[Any]]:
    """The outputs for the one image, by name, without the batch dimension; they share the answer's memory."""
    at = answer.json_length
    found = {}
    for output in orjson.loads(memoryview(answer.body)[:at])["outputs"]:
        size, dtype = output["parameters"]["binary_data_size"], _DTYPES[output["datatype"]]
        tensor = np.frombuffer(answer.body, dtype, size // dtype.itemsize, at)
        found[output["name"]] = tensor.reshape(output["shape"])[0]
        at += size
    return found


def error(answer: Answer) -> str:
    """What Triton says went wrong."""
    try:
        return str(orjson.loads(answer.body)["error"])
    except (ValueError, TypeError, KeyError):
        return answer.body[:300].decode(errors="replace")
