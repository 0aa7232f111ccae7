"""Offer a record each millisecond and say when, until somebody kills this process."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.feature_log.made_up import model, places, question, tell

from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.metrics import Metrics

log = FeatureLog(places(Path(sys.argv[1])), FeatureLogSettings("x"), Metrics(), lambda: [model()])
log.start()
for number in range(100_000):
    with log.note(question(f"{number}")) as note:
        tell(note, [model()])
    sys.stdout.write(f"{number} {time.monotonic()}\n")
    sys.stdout.flush()
    time.sleep(0.001)
