"""What a shadow costs those who are not asked: `python -m tests.drills.shadow`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import numpy as np
from tests.conftest import ROOT
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_least, at_most, none_of
from tests.drills.harness.records import Records
from tests.drills.harness.running import main
from tests.e2e import rollout_models

from fovea_pipelines.package import ModelPackage
from fovea_server.studies.database import Database, url_of
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.store import Change, Store

_DEFAULT = "efficientnet_lite0"
_SHARE = 0.4  # of c: busy, and idle often enough for copies to be begun now and then
_SEEN = 1.0  # seconds for a change to be seen by the gateway, and for the last copy to end
_ME = Change("the drill", "to measure it")


def run(bench: Bench) -> list[Figure]:
    c, seconds = bench.c, bench.scale.pick(full=8.0, short=2.0)
    package = ModelPackage.read(ROOT / "model_repository" / _DEFAULT)
    rollout_models.add_variant(package, "f32", "plain", bench.server.state)
    store = Store(Database(url_of("", bench.server.state)))
    found: dict[bool, list[Records]] = {False: [], True: []}
    # Neighbours in time are compared, each way round as often, for the machine is not alone.
    for number, with_copies in enumerate((False, True, True, False) * bench.scale.pick(full=6, short=1)):
        with _copies(store, number) if with_copies else _rested():
            found[with_copies].append(open_loop.run(bench.server.rest_port, bench.requests(), _SHARE * c, seconds))
    copies = _copies_made(bench.server.url)
    ratios = {percent: _ratio(found, percent) for percent in (50, 90, 99)}
    bench.note(
        copies=copies,
        copies_a_second=copies.get("compared", 0) / (seconds * len(found[True])),
        latency_with_and_without={f"p{percent}": round(ratio, 3) for percent, ratio in ratios.items()},
        at_in_parts_of_c=_SHARE,
    )
    unanswered = sum((Counter(each.unanswered.outcomes()) for some in found.values() for each in some), Counter[str]())
    return [
        none_of("requests without an answer", unanswered),
        at_least("copies that were compared", 1, copies.get("compared", 0)),
        at_most("p99 with a shadow, in times of that without", 1.05, ratios[99], timed=True),
    ]


@contextlib.contextmanager
def _copies(store: Store, number: int) -> Iterator[None]:
    """A shadow that gets a copy of every image there is time for."""
    arms = [{"name": "control", "model": _DEFAULT}, {"name": "candidate", "model": "plain"}]
    rule = {"rule": "not_worse", "smallest_effect": 0.1}
    table = {"name": f"shadow-{number}", "model": _DEFAULT, "kind": "shadow", "arms": arms, "decision": rule}
    kept = store.start(store.create(Experiment.read(table | {"primary_metric": "agreement"}), _ME), _ME)
    with _rested():
        yield
        store.stop(kept, _ME)


@contextlib.contextmanager
def _rested() -> Iterator[None]:
    """With and without copies alike: a server that rested answers the first images more slowly."""
    time.sleep(_SEEN)
    yield
    time.sleep(_SEEN)


def _ratio(found: dict[bool, list[Records]], percent: float) -> float:
    """The median of the windows with copies, in times of that of those without."""
    median = {
        with_copies: float(np.median([records.percentile_ms(percent) for records in some]))
        for with_copies, some in found.items()
    }
    return median[True] / median[False]


def _copies_made(url: str) -> dict[str, int]:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    series = (line.rpartition(" ") for line in lines if line.startswith("fovea_shadow_copies_total{"))
    return {name.split('"')[1]: int(float(value)) for name, _, value in series}


DRILL = Drill(
    name="shadow",
    promise="Copies for a candidate in the shadow add at most 5% to the p99 of those who are answered.",
    run=run,
    seconds=480,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
