"""Import torchvision, or skip the tests that need it where it is not installed."""

from __future__ import annotations

from typing import Any

import pytest

from fovea_pipelines.adding.pytorch import libraries
from fovea_pipelines.errors import MissingArtefact


def torchvision() -> Any:
    pytest.importorskip("torch", reason="torch is not installed; run `make test-torch`")
    try:
        return libraries.torchvision()
    except MissingArtefact:
        pytest.skip("torchvision is not installed; run `make test-torch`")
