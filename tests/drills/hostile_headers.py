"""Images that promise or hold far too much: `python -m tests.drills.hostile_headers`."""

from __future__ import annotations

import sys
import time

import httpx
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_most, none_of
from tests.drills.harness.running import main
from tests.hostile_images import bombs

_TIMES = 15
_LARGEST = 20_000_000  # bytes of a body that is read


def run(bench: Bench) -> list[Figure]:
    """What a bomb costs is measured against a text of the same length, which is refused by its first bytes."""
    bad: dict[str, int] = {}
    slowest, grown, worst = 0.0, 0.0, ""
    with httpx.Client(base_url=bench.server.url, timeout=30) as client:
        for name, image, error in bombs():
            image = image[: _LARGEST + 1]
            plain = b"text" * (len(image) // 4)
            with bench.watch() as beside_text:
                _asked(client, plain)
            with bench.watch() as seen:
                _, answer = _asked(client, image)
            if (answer.status_code, answer.json()["reason"]) != (error.http, error.reason):
                bad[f"{name}: {answer.status_code} {answer.json()['reason']}"] = 1
            taken, usual = _times(client, image, plain)
            if taken - usual > slowest:
                slowest, worst = taken - usual, name
            grown = max(grown, seen.peak_growth_mb - beside_text.peak_growth_mb)
            bench.note(**{name: f"{taken:.1f} ms, of which {usual:.1f} to send and refuse as much text"})
    bench.note(slowest=worst)
    return [
        none_of("bombs refused otherwise than they should be", bad),
        at_most("time to refuse one, beyond a text as long", 10, slowest, "ms", timed=True),
        at_most("memory beside them, beyond a text as long", 20, grown, "MB"),
        Figure("ready afterwards", "yes", "yes" if bench.server.is_ready() else "no", bench.server.is_ready()),
    ]


def _times(client: httpx.Client, *bodies: bytes) -> list[float]:
    """Milliseconds of each, in turn, the least of a few: others on the machine can only make it more."""
    rounds = [[_asked(client, body)[0] for body in bodies] for _ in range(_TIMES)]
    return list(map(min, *rounds))


def _asked(client: httpx.Client, body: bytes) -> tuple[float, httpx.Response]:
    began = time.perf_counter()
    answer = client.post("/v1/classify", content=body)
    return 1000 * (time.perf_counter() - began), answer


DRILL = Drill(
    name="hostile_headers",
    promise="Header bombs, a PNG that unpacks to 64 MiB, WebP and PNG of 10,000 frames: refused within 10 ms, and for "
    "at most 20 MB.",
    run=run,
    seconds=300,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
