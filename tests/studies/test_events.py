"""No value that a caller reports spoils what all the others reported."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.studies.made_up import place, split
from tests.studies.processes import Process, start

from fovea_server.errors import BadParameter
from fovea_server.studies import tables
from fovea_server.studies.counts import Counts
from fovea_server.studies.events import LARGEST, Events
from fovea_server.studies.store import Store


@pytest.mark.parametrize("value", [1e200, -1e200, 1.001e9, math.inf, math.nan])
def test_a_value_that_would_spoil_the_sums_is_refused_and_the_others_arrive(
    url: str, store: Store, tmp_path: Path, value: float
) -> None:
    process = Process(url, tmp_path)
    start(process.store, split(primary_metric="event:bought"))
    process.exchange.exchange()
    events = Events(process.routing, process.tally)
    with pytest.raises(BadParameter, match=r"value: .+ is not from -1,000,000,000 to 1,000,000,000"):
        events.report("bought", "user-1", value)
    for each in (-LARGEST, 1.0, LARGEST):
        assert events.report("bought", "user-1", each)
    process.exchange.exchange()
    process.store.database.close()
    assert process.exchange.fault is None
    (counts,) = process.observations.counted("trial").values()
    assert (counts.events["bought"].count, counts.events["bought"].total) == (3, 1.0)
    assert math.isfinite(counts.events["bought"].sample().variance)


def test_sums_that_are_not_finite_are_neither_given_nor_believed(tmp_path: Path) -> None:
    counts = Counts()
    for name, value in (("bought", 1e200), ("bought", -1e200), ("accepted", 1.0)):
        counts.event(name, value)
    given = counts.to_json()
    json.dumps(given, allow_nan=False)
    assert list(given["events"]) == ["accepted"]
    process = Process(f"sqlite:///{tmp_path}/experiments.db", tmp_path)
    process.observations.give("another", {place("candidate"): counts})
    with process.store.database.write() as connection:  # as SQLite takes it
        spoilt = given | {"events": {"bought": {"count": 1, "total": 1e200, "off": math.inf}, **given["events"]}}
        connection.execute(update(tables.counts).values(counted=spoilt))
    (read,) = process.observations.counted("trial").values()
    process.store.database.close()
    assert list(read.events) == ["accepted"]
