from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.feature_log.made_up import model, places

from fovea_server.domain import Model
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.metrics import Metrics


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return places(tmp_path)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def running(where: Places, metrics: Metrics) -> Iterator[Callable[..., FeatureLog]]:
    """Make a log whose writer runs; all are stopped."""
    logs: list[FeatureLog] = []

    def start(*models: Model, **settings: Any) -> FeatureLog:
        served = models or (model(),)
        chosen = FeatureLogSettings(location=where.lake, **{"embeddings": 1.0, **settings})
        log = FeatureLog(where, chosen, metrics, lambda: served)
        log.start()
        logs.append(log)
        return log

    yield start
    for log in logs:
        log.end()
