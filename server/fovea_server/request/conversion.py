"""Images of formats beyond those the executors read, made into one they do, a few at a time, each for its own risk."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec

from fovea_pipelines import headers
from fovea_server.domain import Deadline, ImageFacts, Priority
from fovea_server.errors import DeadlineExceeded, StartError
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.admission.settings import share_of_bytes
from fovea_server.request.decoder import Decoder

_NEEDED = {"gif": "PIL", "tiff": "PIL", "avif": "PIL._avif", "heic": "pillow_heif"}


@dataclass(frozen=True)
class ConversionSettings:
    """`formats` are served beyond JPEG, PNG, WebP and BMP: any of gif, tiff, avif, heic.

    workers  images that are decoded, or decoded and not yet answered, at once
    seconds  that one image may take to decode
    memory   bytes of address space of one decoder; an image of 48 megapixels takes half a gigabyte
    """

    formats: frozenset[str] = frozenset()
    workers: int = 2
    max_waiting: int = 64
    max_waiting_bytes: int = 256_000_000
    seconds: float = 5.0
    memory: int = 1_500_000_000

    def of_one(self, processes: int) -> ConversionSettings:
        """The share of each of so many gateway processes; each has one decoder at least."""
        return replace(
            self,
            workers=max(self.workers // processes, 1),
            max_waiting=self.max_waiting // processes,
            max_waiting_bytes=share_of_bytes(self.max_waiting_bytes, processes),
        )


def enabled(names: str) -> frozenset[str]:
    """The formats of a list such as "gif,heic". Raises StartError for an unknown one, or one nothing here decodes."""
    wanted = frozenset(name.strip().lower() for name in names.split(",") if name.strip())
    if unknown := sorted(wanted - set(headers.ON_REQUEST)):
        raise StartError(f"--formats names {', '.join(unknown)}", f"choose from {','.join(headers.ON_REQUEST)}")
    if missing := sorted(name for name in wanted if not _is_installed(_NEEDED[name])):
        raise StartError(
            f"what decodes {', '.join(name.upper() for name in missing)} is not installed",
            "run `pip install 'fovea-server[formats]'`",
        )
    return wanted


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # not even the package it would be in


def _room_of(settings: ConversionSettings) -> AdmissionSettings:
    """A fixed number of places, and waiting as long as the deadline allows."""
    bounds = settings.workers, settings.max_waiting, settings.max_waiting_bytes
    return AdmissionSettings(*bounds, batch=None, patience=math.inf, short_patience=math.inf)


class Conversion:
    """A place for each decoder, a bounded waiting room before them, and processes that are started when first needed.

    A place is kept until the image that was decoded there is answered, so that no more than `workers` decoded images,
    which are far larger than the compressed ones, are in memory.
    """

    def __init__(self, settings: ConversionSettings, max_pixels: int) -> None:
        self._settings = settings
        self._max_pixels = max_pixels
        self._places = Admission(_room_of(settings))
        self._idle: list[Decoder] = []
        self._unclaimed: list[asyncio.Task[Decoder]] = []  # started for somebody who went away
        self._working: set[asyncio.Task[bytes]] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def formats(self) -> frozenset[str]:
        return self._settings.formats

    @asynccontextmanager
    async def served(
        self,
        image: bytes,
        facts: ImageFacts,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        caller: str = "",
    ) -> AsyncIterator[bytes]:
        """`async with` it: the image in a form that the executors read, which most are in already.

        Raises Busy, Shed, DeadlineUnreachable, DeadlineExceeded, TooManyPixels, FormatNotServed or Undecodable.
        """
        if facts.format not in self._settings.formats:
            yield headers.evened(image) if facts.format == "webp" else image
            return
        async with self._places.slot(len(image), deadline, priority=priority, caller=caller):
            yield await self._in_time(image, facts.format, deadline)

    async def close(self) -> None:
        """End every process, whatever it is doing."""
        for work in self._working:
            work.cancel()
        while self._working:
            await asyncio.wait(self._working)
        for started in await asyncio.gather(*self._unclaimed, return_exceptions=True):
            if isinstance(started, Decoder):
                self._end(started)
        while self._idle:
            self._end(self._idle.pop())
        while self._ending:
            await asyncio.wait(self._ending)

    async def _in_time(self, image: bytes, form: str, deadline: Deadline) -> bytes:
        """The PNG; the work is given up where the deadline passes or the caller goes away."""
        work = asyncio.create_task(self._png(image, form))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        try:
            await asyncio.wait({work}, timeout=max(deadline.remaining(), 0))
            if not work.done():
                raise DeadlineExceeded(f"the deadline passed while the {form.upper()} was being decoded")
            return work.result()
        finally:
            work.cancel()

    async def _png(self, image: bytes, form: str) -> bytes:
        decoder = await self._decoder()
        try:
            return await decoder.png(image, form, self._max_pixels, self._settings.seconds)
        finally:
            if decoder.is_usable:
                self._idle.append(decoder)
            else:
                self._end(decoder)

    async def _decoder(self) -> Decoder:
        """One that is idle, or a new one."""
        while True:
            decoder = self._idle.pop() if self._idle else await self._started()
            if decoder.is_usable:
                return decoder
            self._end(decoder)

    async def _started(self) -> Decoder:
        self._unclaimed = [each for each in self._unclaimed if not _has_failed(each)]
        starting = self._unclaimed.pop() if self._unclaimed else asyncio.create_task(self._start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Who comes next takes it: otherwise short deadlines would start processes that nobody ever uses.
            self._unclaimed.append(starting)
            raise

    async def _start(self) -> Decoder:
        return await Decoder.start(self._settings.formats, self._settings.memory)

    def _end(self, decoder: Decoder) -> None:
        ending = asyncio.create_task(decoder.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


def _has_failed(starting: asyncio.Task[Decoder]) -> bool:
    return starting.done() and (starting.cancelled() or starting.exception() is not None)
