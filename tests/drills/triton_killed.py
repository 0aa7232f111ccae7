"""tritonserver is killed under load: `python -m tests.drills.triton_killed`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_most, none_of
from tests.drills.harness.readiness import ReadinessLog
from tests.drills.harness.running import main
from tests.e2e.served import Served

_SECONDS = 14.0


def run(bench: Bench) -> list[Figure]:
    server = bench.server
    family = [server.triton(), *server.triton().children(recursive=True)]
    regions = _regions(server)
    with (
        ReadinessLog(server.url) as readiness,
        open_loop.load(server.rest_port, bench.requests(), [(0.5 * bench.c, _SECONDS)]) as load,
    ):
        time.sleep(max(load.begins + 1 - time.monotonic(), 0))
        killed = time.monotonic()
        family[0].kill()
        records = load.wait()
    down, back = readiness.not_ready_after(killed, float("inf"))
    bench.note(not_ready_after_s=down, outcomes=records.outcomes())
    untyped = {word: n for word, n in records.outcomes().items() if word not in ("200 1", "503 NOT_READY")}
    orphans = [process.pid for process in family if _is_alive(process)]
    return [
        at_most("ready again after", 10, back, "s", timed=True),
        none_of("answers that are neither right nor UNAVAILABLE", untyped),
        none_of("orphans", {"process": len(orphans)}),
        none_of("shared memory left", {"region": len(regions & _regions(server))}),
    ]


def _regions(server: Served) -> set[Path]:
    """Those of tritonserver: the socket's folder and the board of `withdrawn.py` are the gateway's, which lives."""
    found = Path("/dev/shm").glob(f"fovea_{server.process.pid}_*")
    return {path for path in found if path.is_file() and not path.name.endswith("_withdrawn")}


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


DRILL = Drill(
    name="triton_killed",
    promise="tritonserver is killed: ready again within 10 s, no orphan, no shared memory left.",
    run=run,
    twin="tests/e2e/test_failures.py",
    hurts=True,
    seconds=240,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
