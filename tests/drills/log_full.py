"""A feature log on 1 MiB that is filled while requests are answered, and emptied: `python -m tests.drills.log_full`."""

from __future__ import annotations

import contextlib
import math
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_least, at_most, none_of
from tests.drills.harness.running import main
from tests.e2e.served import Served, served
from tests.ports import free_ports

_RATE = 20.0  # requests a second: what is asked here is not how fast
_WRITTEN = "fovea_feature_log_records_total"
_DROPPED = 'fovea_feature_log_dropped_total{why="not_written"}'


def run(bench: Bench) -> list[Figure]:
    before_it, full, after_it = bench.scale.pick(full=(3.0, 30.0, 15.0), short=(1.0, 3.0, 6.0))
    with _server() as (server, folder):
        with open_loop.load(
            server.rest_port, bench.requests(), [(_RATE, before_it), (_RATE, full), (_RATE, after_it)]
        ) as load:
            time.sleep(max(load.window(1)[0] - time.monotonic(), 0))
            before = _value(server, _DROPPED)
            _fill(folder / "filler")
            time.sleep(max(load.window(2)[0] - time.monotonic(), 0))
            dropped = _value(server, _DROPPED) - before
            (folder / "filler").unlink()
            resumed = _resumed(server, until=load.ends)
            records = load.wait()
        written = _value(server, _WRITTEN)
    failed = {outcome: count for outcome, count in records.outcomes().items() if not outcome.startswith("200")}
    bench.note(requests=len(records), records_dropped=dropped, records_written=written)
    return [
        none_of("answers that failed", failed),
        at_least("records counted as dropped while it was full", 1, dropped),
        at_most("until a record was written again", 10, resumed, "s"),
    ]


@contextlib.contextmanager
def _server() -> Iterator[tuple[Served, Path]]:
    """In a mount namespace of its own, where the log's folder is a file system of 1 MiB; and that folder, from here."""
    with tempfile.TemporaryDirectory() as log:
        script = f'mount -t tmpfs -o size=1m tmpfs {log} && exec "$@"'
        alone = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
        with served(free_ports(5), f"--feature-log={log}", "--log-embeddings=1", before=alone) as server:
            yield server, Path(f"/proc/{server.process.pid}/root{log}")


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def _resumed(server: Served, until: float) -> float:
    """Seconds until more is written than there was; endless where nothing is."""
    began, written = time.monotonic(), _value(server, _WRITTEN)
    while time.monotonic() < until:
        if _value(server, _WRITTEN) > written:
            return time.monotonic() - began
        time.sleep(0.1)
    return math.inf


def _value(server: Served, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", server.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


DRILL = Drill(
    name="log_full",
    promise="The folder of the feature log is full: no answer fails, a counter rises, and writing goes on within 10 s "
    "of there being room again.",
    run=run,
    twin="tests/feature_log/test_crashes.py",
    hurts=True,
    seconds=180,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
