"""A running tritonserver as an executor: the served path itself, over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tritonclient import grpc as triton

from fovea_pipelines.errors import PipelineError
from fovea_pipelines.parity.executors import Pixels
from fovea_pipelines.triton_messages import PIXELS_TOO

_AT_ONCE = 8  # so that Triton has something to merge into batches, as it does when it serves
_GONE = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


class NotServing(PipelineError):
    """No tritonserver with this model answers there."""


class Refused(Exception):
    """What Triton says of an image that it does not preprocess."""


class Served:
    """IMAGE UINT8 [1, n] to PIXELS UINT8 [1, height, width, 3] at `address`, HOST:PORT, by the first of the models that
    gives pixels there."""

    def __init__(self, address: str, models: Sequence[str], timeout: float = 30.0) -> None:
        self._address, self._timeout = address, timeout
        # Through a proxy nothing on this machine is found.
        self._client = triton.InferenceServerClient(address, channel_args=[("grpc.enable_http_proxy", 0)])
        found = next(filter(self._gives_pixels, models), None)
        if found is None:
            told = " or ".join(models)
            raise NotServing(f"{address} serves no model {told} that gives PIXELS", hint="see `fovea models list`")
        self._model = found

    def __call__(self, images: Sequence[bytes], /) -> list[Pixels | Exception]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._one, images))

    def _gives_pixels(self, model: str) -> bool:
        try:
            if not self._client.is_model_ready(model, client_timeout=self._timeout):
                return False
            metadata: Any = self._client.get_model_metadata(model, client_timeout=self._timeout)
        except triton.InferenceServerException as error:
            raise self._gone() from error
        return "PIXELS" in [output.name for output in metadata.outputs]

    def _one(self, image: bytes) -> Pixels | Exception:
        tensor = triton.InferInput("IMAGE", [1, len(image)], "UINT8")
        tensor.set_data_from_numpy(np.frombuffer(image, np.uint8)[np.newaxis])
        wanted = [triton.InferRequestedOutput("PIXELS")]
        ask = {PIXELS_TOO: True}
        try:
            answer: Any = self._client.infer(
                self._model, [tensor], outputs=wanted, parameters=ask, client_timeout=self._timeout
            )
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
