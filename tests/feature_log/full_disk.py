"""Keep a log on a file system of 1 MiB, fill it, make room again; say what happened as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from tests.feature_log.made_up import model, places, question, tell
from tests.small_disk import fill

from fovea_server.domain import ANYONE
from fovea_server.errors import FeatureLogUnavailable
from fovea_server.feature_log.feedback import Feedback
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.metrics import Metrics


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def main(folder: Path) -> dict[str, object]:
    metrics = Metrics()
    log = FeatureLog(places(folder), FeatureLogSettings("x", embeddings=1), metrics, lambda: [model()])
    log.start()

    async def offered_until(name: str, **labels: str) -> float:
        """Seconds until a counter rises while records are offered."""
        before, began = value(metrics.registry, name, **labels), time.monotonic()
        while value(metrics.registry, name, **labels) <= before and time.monotonic() - began < 20:
            with log.note(question()) as note:
                tell(note, [model()])
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    await offered_until("fovea_feature_log_records_total")
    filler = fill(folder)
    dropped_after = await offered_until("fovea_feature_log_dropped_total", why="not_written")
    try:
        await log.feedback.accept([Feedback("a", "tench")] * 500, ANYONE)  # more than is left of a page
        feedback = "accepted"
    except FeatureLogUnavailable as error:
        feedback = str(error)
    filler.unlink()
    resumed_after = await offered_until("fovea_feature_log_records_total")
    await log.feedback.accept([Feedback("a", "tench")], ANYONE)
    await log.stop()
    return {"dropped_after": dropped_after, "feedback": feedback, "resumed_after": resumed_after}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
