"""The keeper as the gateway sees it: started, listened to, started again when it dies, ended."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

import orjson

from fovea_server.feature_log import keeper
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics
from fovea_server.own_processes import OwnProcess

_log = get_logger("feature_log")
_AGAIN = 30.0  # seconds before a keeper that died is started again
_EXIT = 5.0  # seconds for the pass it is in


class Keeping:
    """One keeper a server. What fails there is counted and logged here, and nothing waits for it."""

    def __init__(self, places: Places, settings: FeatureLogSettings, metrics: Metrics) -> None:
        self._places = places
        self._settings = settings
        self._metrics = metrics
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._end()

    def processes(self) -> list[OwnProcess]:
        """The keeper, while it runs."""
        process = self._process
        return [OwnProcess("keeper", "0", process.pid)] if process and process.returncode is None else []

    async def _end(self) -> None:
        """After the pass it is in and a last one, or at once where those take too long."""
        if self._process is not None and self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:  # it says what it did, and would wait for ever for somebody to hear it
                await asyncio.wait_for(self._process.communicate(), _EXIT)
            except (asyncio.TimeoutError, TimeoutError):
                self._process.kill()
                await self._process.communicate()

    async def _keep(self) -> None:
        while True:
            reason = "the keeper ended"
            try:
                await self._run()
            except Exception as error:
                reason = f"the keeper cannot be started or understood: {type(error).__name__}: {error}"
            self._failed(reason)
            await self._end()
            await asyncio.sleep(_AGAIN)

    async def _run(self) -> None:
        """Until it ends."""
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", keeper.__name__),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # or `-m` would look in the current folder first
            start_new_session=True,  # Ctrl-C at the terminal is for the gateway, which drains first
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(keeper.to_json(self._places, self._settings) + b"\n")
        async for line in process.stdout:
            self._heard(orjson.loads(line))
        await process.wait()

    def _heard(self, did: dict[str, Any]) -> None:
        if "failed" in did:
            self._failed(did["failed"])
            return
        self._said = ""
        self._metrics.feature_log_dropped("invalid", did.get("refused", 0))
        self._metrics.feature_log_dropped("unknown_id", did.get("unknown_ids", 0))
        self._metrics.feature_log_torn(did.get("torn_bytes", 0))
        if did.get("reasons"):
            _log.warning("not all rows of the feature log were fit to be kept", reasons=did["reasons"])
        if did.get("too_much"):
            _log.info("the feature log was too large", deleted=did["too_much"])

    def _failed(self, reason: str) -> None:
        self._metrics.feature_log_failed("compaction")
        if reason != self._said:
            self._said = reason
            _log.warning("the feature log cannot be compacted", reason=reason)
