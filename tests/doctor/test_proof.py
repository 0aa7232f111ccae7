"""Where the load of a proof goes, and that what Triton counts late is counted."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from fovea_server.doctor import proof
from fovea_server.doctor.statistics import Counts

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


class _Late:
    """Counts the last batch of eight after it was answered, as Triton does: at the third reading."""

    def __init__(self) -> None:
        self._readings = iter([{}, {"net": Counts(201 + 1, 31)}])

    async def counts(self) -> dict[str, Counts]:
        return next(self._readings, {"net": Counts(209 + 1, 32), "other": Counts(1, 1)})


async def test_images_that_triton_counts_after_their_answers_are_waited_for() -> None:
    running: Any = _Late()
    gained = await proof._gained(running, {"net": Counts(1, 1), "other": Counts(1, 1)}, answered=209)
    assert (gained["net"].images, gained["net"].executions) == (209, 31)
    assert gained["other"].images == 0


async def test_what_is_never_counted_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_LATE", 0.05)
    running: Any = _Late()
    assert (await proof._gained(running, {}, answered=500))["net"].images == 210
