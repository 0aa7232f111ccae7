"""Keep a tritonserver running: start it, prove that it answers rightly, notice its death, start it again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from fovea_server.errors import FoveaError, StartError
from fovea_server.logs import get_logger
from fovea_server.triton.process import TritonProcess

_log = get_logger("supervisor")

_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.25, 30.0  # seconds between a death and the next start
_STEADY_AFTER = 60.0  # seconds of service after which the back-off begins anew
_POLL = 0.05  # seconds between looks while it starts
_WATCH = 0.5  # seconds between looks at the models' processes
_PROBE = 5.0  # seconds between two questions with the golden image
_REMEDY = "build the model with `fovea models build --force`, or do without an added one: `fovea models remove NAME`"
_MOST_FAILED_PROBES = 2  # each has the golden image's own time-out


class Readiness(Protocol):
    """Who is told whether requests may be taken."""

    def ready(self, start_seconds: float) -> None: ...
    def not_ready(self, reason: str) -> None: ...


class Supervisor:
    """Owns the one TritonProcess of the moment.

    launch     makes a TritonProcess that is not started yet
    answers    whether the models say they are ready
    verify     raises a FoveaError unless the models answer rightly
    restarted  is called before each start but the first
    """

    def __init__(
        self,
        launch: Callable[[], TritonProcess],
        answers: Callable[[], Awaitable[bool]],
        verify: Callable[[], Awaitable[None]],
        readiness: Readiness,
        restarted: Callable[[], None],
        start_timeout: float,
    ) -> None:
        self._launch = launch
        self._answers = answers
        self._verify = verify
        self._readiness = readiness
        self._restarted = restarted
        self._start_timeout = start_timeout
        self._process: TritonProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self._changes = 0  # of models, under way
        self._models: Counter[str] = Counter()  # how many processes at least run each

    @property
    def pid(self) -> int | None:
        """The tritonserver of the moment."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start and prove it; raises StartError where it does not come up. Afterwards it is watched."""
        await self._bring_up()
        self._watch = asyncio.create_task(self._keep_running())

    async def stop(self, *, at_once: bool = False) -> None:
        """Stop watching, then end tritonserver: in order, or at once."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._process and not at_once:
            await self._process.stop()
            self._process = None
        await self._discard()

    @contextlib.contextmanager
    def changing_models(self, leaving: Collection[str] = ()) -> Iterator[None]:
        """While models come and go, so do their processes: none of them is taken for lost before it is over, and those
        of the models that are `leaving` not afterwards either.

        A model that was loaded again has two for a while, its old one and its new one; afterwards one is enough.
        """
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
            running = self._process.model_processes() if self._process else Counter()
            expected = {**dict.fromkeys(running, 1), **self._models}
            self._models = Counter(
                {model: count for model, count in expected.items() if not set(leaving) & set(Path(model).parts)}
            )

    async def _keep_running(self) -> None:
        backoff = _FIRST_BACKOFF
        while True:
            began = time.monotonic()
            reason = await self._until_broken()
            self._readiness.not_ready(f"{reason}; it is being started again")
            _log.error("triton is gone", reason=reason, next_start_in=backoff)
            await self._discard()
            if time.monotonic() - began > _STEADY_AFTER:
                backoff = _FIRST_BACKOFF
            backoff = await self._start_again(backoff)

    async def _start_again(self, backoff: float) -> float:
        """Try until it is up; the back-off to begin with next time."""
        while True:
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            self._restarted()
            try:
                await self._bring_up()
            except Exception as error:  # whatever it is, giving up would leave the server dead for good
                self._readiness.not_ready(f"{error}; it is being started again")
                unexpected = None if isinstance(error, StartError) else error
                _log.error("triton did not start", reason=str(error), next_start_in=backoff, exc_info=unexpected)
            else:
                return backoff

    async def _until_broken(self) -> str:
        """Return, with the reason in words, once tritonserver or a process of its models has ended."""
        process = self._running()
        self._models = process.model_processes()
        ended = asyncio.create_task(process.wait())
        probes = asyncio.create_task(self._until_mute())
        try:
            while True:
                await asyncio.wait({ended, probes}, timeout=_WATCH, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return f"tritonserver ended with {_exit_in_words(ended.result())}"
                if not self._changes and (lost := self._models - process.model_processes()):
                    return f"a model's process ended ({', '.join(sorted(lost))})"
                if probes.done():
                    return probes.result()
        finally:
            ended.cancel()
            probes.cancel()

    async def _until_mute(self) -> str:
        """Return, with the reason, once the golden image was answered wrongly or not at all several times in a row."""
        failures = 0
        while True:
            await asyncio.sleep(_PROBE)
            try:
                await self._verify()
                failures = 0
            except Exception as error:  # anything: a watch that ends by itself watches nothing
                failures += 1
                _log.warning("the golden image was not answered rightly", reason=str(error), times=failures)
                if failures == _MOST_FAILED_PROBES:
                    return f"the golden image was not answered rightly {failures} times: {error}"

    async def _bring_up(self) -> None:
        began = time.monotonic()
        process = self._process = self._launch()
        try:
            await process.start()
            await self._until_answering(process, began)
            await self._verify()
        except FoveaError as error:
            await self._discard()
            raise StartError(str(error), hint=_REMEDY) from error
        except OSError as error:
            await self._discard()
            raise StartError(f"tritonserver cannot be started: {error}", hint="see `fovea serve --help`") from error
        except BaseException:
            await self._discard()
            raise
        seconds = time.monotonic() - began
        _log.info("triton is ready", seconds=round(seconds, 2), pid=process.pid)
        self._readiness.ready(seconds)

    async def _until_answering(self, process: TritonProcess, began: float) -> None:
        while not await self._answers():
            if process.has_ended():
                code = await process.wait()
                raise StartError(
                    f"tritonserver ended with {_exit_in_words(code)}: {await process.last_complaint()}",
                    hint="run `fovea serve --log-level debug` for its whole log",
                )
            if time.monotonic() - began > self._start_timeout:
                raise StartError(
                    f"tritonserver was not ready within {self._start_timeout:g} s: {await process.last_complaint()}",
                    hint="give it longer with --start-timeout, or read its log with --log-level debug",
                )
            await asyncio.sleep(_POLL)

    async def _discard(self) -> None:
        if self._process:
            await self._process.clean_up()
            self._process = None

    def _running(self) -> TritonProcess:
        assert self._process is not None
        return self._process


def _exit_in_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
