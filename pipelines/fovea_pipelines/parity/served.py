"""The preprocessing model of a running tritonserver as an executor: the served path itself, over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tritonclient import grpc as triton

from fovea_pipelines.errors import PipelineError
from fovea_pipelines.parity.executors import Pixels

_AT_ONCE = 8  # so that Triton has something to merge into batches, as it does when it serves
_GONE = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


class NotServing(PipelineError):
    """No tritonserver with this model answers there."""


class Refused(Exception):
    """What Triton says of an image that it does not preprocess."""


class Served:
    """IMAGE UINT8 [1, n] to PIXELS UINT8 [1, height, width, 3] at `address`, HOST:PORT."""

    def __init__(self, address: str, model: str, timeout: float = 30.0) -> None:
        self._address, self._model, self._timeout = address, model, timeout
        # Through a proxy nothing on this machine is found.
        self._client = triton.InferenceServerClient(address, channel_args=[("grpc.enable_http_proxy", 0)])
        if not self._is_ready():
            raise NotServing(f"{address} serves no model {model}", hint="see what it serves with `fovea models list`")

    def __call__(self, images: Sequence[bytes], /) -> list[Pixels | Exception]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._one, images))

    def _is_ready(self) -> bool:
        try:
            return bool(self._client.is_model_ready(self._model, client_timeout=self._timeout))
        except triton.InferenceServerException as error:
            raise self._gone() from error

    def _one(self, image: bytes) -> Pixels | Exception:
        tensor = triton.InferInput("IMAGE", [1, len(image)], "UINT8")
        tensor.set_data_from_numpy(np.frombuffer(image, np.uint8)[np.newaxis])
        wanted = [triton.InferRequestedOutput("PIXELS")]
        try:
            answer: Any = self._client.infer(self._model, [tensor], outputs=wanted, client_timeout=self._timeout)
        except triton.InferenceServerException as error:
            if any(code in str(error.status()) for code in _GONE):
                raise self._gone() from error
            return Refused(error.message())
        pixels: Pixels = answer.as_numpy("PIXELS")[0]
        return pixels

    def _gone(self) -> NotServing:
        return NotServing(
            f"tritonserver is not answering on {self._address}",
            hint="start it with `fovea serve`; its gRPC port is --triton-grpc-port",
        )
