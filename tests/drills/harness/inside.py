"""What a server says of itself: its gauges, and what Triton has executed."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import tritonclient.grpc
from tests.e2e.served import Served


def series(server: Served) -> dict[str, float]:
    """Every series of /metrics that has a number, by its name and labels."""
    lines = httpx.get(f"{server.url}/metrics", timeout=10).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def gauge(server: Served, name: str) -> float:
    """The sum of a series over all its labels; 0 where there is none."""
    return sum(value for key, value in series(server).items() if key.partition("{")[0] == name)


def executed(server: Served) -> int:
    """Images that Triton has decoded, or tried to, since it started."""
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.triton_port}") as client:
        stats = client.get_inference_statistics("classify_efficientnet_lite0", client_timeout=10).model_stats
    return sum(int(model.inference_count) for model in stats)


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.05) -> float:
    """The seconds until it held; infinite where it did not within `seconds`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            return float("inf")
        time.sleep(every)
    return time.monotonic() - began
