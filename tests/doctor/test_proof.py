"""Where the load of a proof goes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from fovea_server.doctor import proof

_IMAGE = 'max_batch_size: 8 input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] } ]'
_PIXELS = 'max_batch_size: 8 input [ { name: "PIXELS" data_type: TYPE_UINT8 dims: [ 224, 224, 3 ] } ]'
_ENSEMBLE = f'platform: "ensemble" ensemble_scheduling {{}} {_IMAGE}'


class _Triton:
    def __init__(self, **configs: str) -> None:
        self._configs = configs

    async def counts(self) -> dict[str, Any]:
        return dict.fromkeys(self._configs)

    async def config(self, name: str) -> Any:
        return text_format.Parse(f'name: "{name}" {self._configs[name]}', ModelConfig())


@pytest.mark.parametrize("classify", [_IMAGE, _ENSEMBLE])
async def test_the_load_goes_to_what_answers_callers(classify: str) -> None:
    running: Any = _Triton(analyze=_ENSEMBLE, preprocess_224=_IMAGE, net=_PIXELS, classify_net=classify)
    assert (await proof._target(running, None)).model == "classify_net"
