"""Requests made of the OpenAPI document by its fuzzer, and random protobufs: `python -m tests.drills.malformed`."""

from __future__ import annotations

import sys
import tempfile

from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, none_of
from tests.drills.harness.running import main
from tests.e2e import malformed
from tests.e2e.served import Served

_FAULTS = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNIMPLEMENTED"}


def run(bench: Bench) -> list[Figure]:
    """Of a server that keeps a feature log: without one, feedback is refused whatever it says."""
    with tempfile.TemporaryDirectory() as log:
        return _figures(bench, bench.another(f"--feature-log={log}"))


def _figures(bench: Bench, server: Served) -> list[Figure]:
    requests, wrong = malformed.schemathesis(server, bench.scale.pick(full=500, short=20))
    outcomes = malformed.protobufs(server, bench.images[0], bench.scale.pick(full=60, short=5))
    faults = {f"{code} {reason}": count for (code, reason), count in outcomes.items() if code in _FAULTS}
    untyped = {code: count for (code, reason), count in outcomes.items() if code != "OK" and not reason}
    bench.note(requests=requests, protobufs=sum(outcomes.values()), said=wrong)
    return [
        Figure(
            "schemathesis: 5xx, or an answer that is not as documented", "none", "some" if wrong else "none", not wrong
        ),
        none_of("protobufs answered with a fault of ours", faults),
        none_of("protobufs refused without a reason", untyped),
        Figure("ready afterwards", "yes", "yes" if server.is_ready() else "no", server.is_ready()),
    ]


DRILL = Drill(
    name="malformed",
    promise="Schemathesis on the OpenAPI document, and random protobufs: no 5xx, and every refusal has its reason.",
    run=run,
    twin="tests/e2e/test_malformed.py",
    seconds=600,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
