"""The lines of `fovea bench`: one load after the other, until the last or until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import Progress

from fovea_client.load import BenchmarkError, Closed, Load, LoadFailed, Open, Photograph, Way
from fovea_server.cli.terminal import KEY_HINT

_TICK = 0.5  # seconds between two steps of the bar: each takes CPU time from the server


@dataclass(frozen=True)
class Line:
    """A load to come: at http(s)://HOST:PORT or grpc(s)://HOST:PORT."""

    url: str
    way: Way

    @property
    def protocol(self) -> str:
        return "gRPC" if self.url.startswith("grpc") else "REST"

    @property
    def is_encrypted(self) -> bool:
        return self.url.startswith(("https://", "grpcs://"))

    @property
    def words(self) -> str:
        return f"{self.way.connections} at once" if isinstance(self.way, Closed) else f"{self.way.rate:g}/s"


@dataclass(frozen=True)
class Plan:
    lines: tuple[Line, ...]
    images: tuple[Photograph, ...]
    seconds: float
    warm_up: float
    headers: Mapping[str, str]
    tls: Callable[[], ssl.SSLContext]  # a new one each time


@dataclass
class Session:
    """What was measured so far; `ended_by` is why it went no further, None where Ctrl-C or nothing did."""

    measured: list[tuple[Line, Load]] = field(default_factory=list)
    interrupted: bool = False
    ended_by: BenchmarkError | None = None


def run(plan: Plan) -> Session:
    """Measure every line; what is done when something goes wrong stays."""
    session = Session()
    try:
        _in_event_loop(_measure(plan, session))
    except BenchmarkError as error:
        session.ended_by = error
    return session


async def _measure(plan: Plan, session: Session) -> None:
    stop = _on_signals()
    warmed: set[str] = set()
    with _progress(plan) as bar:
        for line in plan.lines:
            if plan.warm_up and line.url not in warmed:
                warmed.add(line.url)
                await _load(plan, line, min(plan.warm_up, plan.seconds), stop)
            if stop.is_set():
                break
            step = bar.add_task(f"{line.protocol}, {line.words}", total=plan.seconds)
            ticking = asyncio.create_task(_tick(bar, step))
            try:
                load = await _load(plan, line, plan.seconds, stop)
            finally:
                ticking.cancel()
            bar.update(step, completed=plan.seconds)
            if load.served or not stop.is_set():
                session.measured.append((line, _answered(line, load)))
    session.interrupted = stop.is_set()


async def _load(plan: Plan, line: Line, seconds: float, stop: asyncio.Event) -> Load:
    tls = plan.tls() if line.is_encrypted else None
    if line.protocol == "gRPC":
        from fovea_client.load import rpc

        address = line.url.partition("://")[2].rstrip("/")
        return await rpc.measure(address, plan.images, line.way, seconds, plan.headers, stop, tls)
    from fovea_client.load import rest

    return await rest.measure(line.url, plan.images, line.way, seconds, plan.headers, stop, tls)


def _answered(line: Line, load: Load) -> Load:
    """Raises LoadFailed where no image was."""
    if load.served:
        return load
    hint = "does `fovea classify` get an answer for one of these photographs?"
    if line.is_encrypted and set(load.errors) == {"connection lost"}:
        hint = "does the server ask for a certificate? --client-certificate shows one"
    if load.errors and all("UNAUTHENTICATED" in reason for reason in load.errors):
        hint = KEY_HINT
    errors = ", ".join(f"{count} x {reason}" for reason, count in load.errors.items()) or "none came in time"
    raise LoadFailed(f"{line.protocol}, {line.words}: no image was answered ({errors})", hint)


def _on_signals() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM, so that a line that is cut short still counts."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@contextmanager
def _progress(plan: Plan) -> Iterator[Progress]:
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, auto_refresh=False, disable=not stderr.is_terminal) as bar:
        yield bar


async def _tick(bar: Progress, step: Any) -> None:
    began = time.monotonic()
    while True:
        bar.update(step, completed=time.monotonic() - began, refresh=True)
        await asyncio.sleep(_TICK)


def _in_event_loop(story: Coroutine[Any, Any, None]) -> None:
    """uvloop's where it is installed: it takes half the CPU time."""
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(story)
    else:
        uvloop.run(story)


def ways(connections: tuple[int, ...], rates: tuple[float, ...]) -> tuple[Way, ...]:
    """The closed loops, then the open ones."""
    return (*(Closed(count) for count in connections), *(Open(rate) for rate in rates))
