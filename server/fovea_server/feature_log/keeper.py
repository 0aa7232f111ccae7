"""The process that looks after the lake: `python -m fovea_server.feature_log.keeper`, started by the gateway.

Its settings come as JSON on the first line of standard input; when that input ends, a last pass is made. After each
pass it says on standard output, as one line of JSON, what it did or why it could not.
"""

from __future__ import annotations

import dataclasses
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from fovea_server.feature_log.places import Places
from fovea_server.feature_log.settings import FeatureLogSettings

_FULL_PASS = 60.0  # seconds between two that look at age and size too
_MOST_REASONS, _LONGEST_REASON = 10, 1000  # the gateway reads lines of 64 KiB at most
_UNKNOWN_PASS = 6 * 3600.0  # seconds between two that look for feedback without an answer


def main() -> None:
    os.nice(19)  # it has time; requests do not
    said = orjson.loads(sys.stdin.buffer.readline())
    settings = of_json(said["settings"])
    keeper = Keeper(Places(said["lake"], Path(said["spool"]), Path(said["state"])), settings)
    gone = False
    while not gone:
        said_of_pass = orjson.dumps(keeper.one_pass()).decode()
        print(said_of_pass, flush=True)  # noqa: T201 - this is how it answers
        readable, _, _ = select.select([sys.stdin], [], [], settings.keeper_seconds)
        gone = bool(readable)
    keeper.one_pass()  # what the gateway closed as it stopped


class Keeper:
    """One pass after the other; each may fail, and the next tries again."""

    def __init__(self, places: Places, settings: FeatureLogSettings) -> None:
        self._places = places
        self._settings = settings
        self._full = self._unknown = -_UNKNOWN_PASS

    def one_pass(self) -> dict[str, Any]:
        """What was done, as counts, and why rows were refused; `failed` says why nothing was."""
        import pyarrow as pa

        from fovea_server.feature_log.compaction import alone
        from fovea_server.feature_log.lake import Lake

        pa.set_cpu_count(1)
        try:
            with alone(self._places, wait=False) as owner:
                return self._pass(Lake.of(self._places)) if owner else {}
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"[:_LONGEST_REASON]}

    def _pass(self, lake: Any) -> dict[str, Any]:
        from fovea_server.feature_log import compaction, retention

        did: dict[str, Any] = {}
        now = time.monotonic()
        if now - self._full >= _FULL_PASS:  # first, for the disk may be full
            self._full = now  # also where that fails: the passes until the next are to compact
            did.update(dataclasses.asdict(retention.retain(lake, self._settings)))
        did.update(dataclasses.asdict(compaction.compact(self._places, lake)))
        if now - self._unknown >= _UNKNOWN_PASS:
            did["unknown_ids"] = retention.drop_unknown(lake, self._settings)
            self._unknown = now
        did["reasons"] = sorted(set(did["reasons"]))[:_MOST_REASONS]
        return did


def to_json(places: Places, settings: FeatureLogSettings) -> bytes:
    """What the gateway says to it."""
    said = {**dataclasses.asdict(settings), "never_captured": sorted(settings.never_captured)}
    return orjson.dumps({"lake": places.lake, "spool": str(places.spool), "state": str(places.state), "settings": said})


def of_json(said: dict[str, Any]) -> FeatureLogSettings:
    return FeatureLogSettings(**{**said, "never_captured": frozenset(said["never_captured"])})


if __name__ == "__main__":
    main()
