"""One process that decodes images of other formats: started, asked, and ended for good when it is in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable

from fovea_pipelines import not_converted, other_formats_worker
from fovea_server.errors import FormatNotServed, FoveaError, TooManyPixels, Undecodable

_START_SECONDS, _EXIT_SECONDS = 30.0, 1.0
_MOST_IMAGES = 1000  # for one process, so that what its libraries leak does not add up
_ERRORS: dict[str, type[FoveaError]] = {
    not_converted.TooLarge.word: TooManyPixels,
    not_converted.NotServed.word: FormatNotServed,
    not_converted.Undecodable.word: Undecodable,
    not_converted.OutOfMemory.word: Undecodable,
}
_IN_ORDER = {other_formats_worker.DONE, *_ERRORS} - {not_converted.OutOfMemory.word}


class Decoder:
    """Make one with `start`. It shares a file in memory with its process, and at most one image is in it."""

    def __init__(self, process: Process, file: int, memory: int) -> None:
        self._process = process
        self._file = file
        self._memory = memory
        self._images = 0
        self._in_doubt = True

    @classmethod
    async def start(cls, formats: Iterable[str], memory: int) -> Decoder:
        """A process that is ready for these formats, allowed `memory` bytes. Raises RuntimeError where it is not."""
        file = os.memfd_create("fovea-decoder")
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", other_formats_worker.__name__),
                *(str(file), str(memory), str(os.getpid()), ",".join(sorted(formats))),
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=(file,),
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # or `-m` would look in the current folder first
                start_new_session=True,  # Ctrl-C at the terminal is for the gateway, which drains first
            )
        except BaseException:
            os.close(file)
            raise
        decoder = cls(process, file, memory)
        await decoder._until_ready()
        return decoder

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked again: it is not at work, answered the last time, and is still there."""
        return not self._in_doubt and self._images < _MOST_IMAGES and self._is_there()

    async def png(self, image: bytes, form: str, max_pixels: int, seconds: float) -> bytes:
        """The first picture of `image` as a PNG. Raises TooManyPixels, FormatNotServed or Undecodable.

        Where it raises anything else, or is cancelled, the decoder is in doubt afterwards.
        """
        self._in_doubt = True
        self._images += 1
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, image, 0)
        word, sentence = await self._answer(f"{form} {len(image)} {max_pixels}\n", form.upper(), seconds)
        self._in_doubt = word not in _IN_ORDER
        if word == other_formats_worker.DONE:
            return await self._content()
        if word in _ERRORS:
            raise _ERRORS[word](sentence)
        raise RuntimeError(f"the {form.upper()} decoder failed: {sentence}")

    async def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self._in_doubt = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_there(self) -> bool:
        """As the system says, which knows of an end before the event loop does."""
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False  # the loop has waited for it already

    async def _until_ready(self) -> None:
        try:
            said = await asyncio.wait_for(self._line(), _START_SECONDS)
            if said != other_formats_worker.READY:
                raise RuntimeError(f"the process that decodes images ended as it started, with {await self._exit()}")
        except BaseException:
            await asyncio.shield(self.end())
            raise
        self._in_doubt = False

    async def _answer(self, request: str, name: str, seconds: float) -> tuple[str, str]:
        """The word and the sentence it answers with."""
        assert self._process.stdin is not None
        self._process.stdin.write(request.encode())
        try:
            answer = await asyncio.wait_for(self._line(), seconds)
        except asyncio.TimeoutError:
            raise Undecodable(f"the {name} decoder needed more than {seconds:g} s on it") from None
        if not answer:
            raise Undecodable(f"the {name} decoder died on it, with {await self._exit()}")
        word, _, sentence = answer.partition(" ")
        return word, sentence

    async def _line(self) -> str:
        """The next line it says; nothing if it ends instead, or says what is no line of ours."""
        assert self._process.stdout is not None
        try:
            raw = await self._process.stdout.readline()
        except ValueError:  # longer than the reader's limit
            return ""
        return raw[:-1].decode(errors="replace") if raw.endswith(b"\n") else ""

    async def _exit(self) -> str:
        """What it ended with, in words; one that only fell silent is killed."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), _EXIT_SECONDS)
        await self.end()
        code = self._process.returncode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    async def _content(self) -> bytes:
        """What is in the file, which is then emptied."""
        size = os.fstat(self._file).st_size
        if size > self._memory:
            self._in_doubt = True
            raise RuntimeError(f"a decoder left {size:,} bytes; it may have {self._memory:,}")
        # A thread, because this takes 0.1 s for the largest; shielded, because it has to close its own descriptor.
        reading = asyncio.get_running_loop().run_in_executor(None, _read, os.dup(self._file), size)
        content = await asyncio.shield(reading)
        os.ftruncate(self._file, 0)
        return content


def _read(file: int, size: int) -> bytes:
    try:
        return os.pread(file, size, 0)
    finally:
        os.close(file)
