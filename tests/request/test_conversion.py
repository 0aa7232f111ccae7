"""Other formats are decoded in processes of their own: what dies, hangs or grows there costs one image, no other."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import psutil
import pytest
import uvloop
from PIL import Image
from tests.conftest import children_running
from tests.pipelines.other_images import heic, saved, scene
from tests.waiting import eventually

from fovea_pipelines import headers, other_formats_worker
from fovea_server.domain import Deadline, ImageFacts, Priority
from fovea_server.errors import (
    Busy,
    DeadlineExceeded,
    DeadlineUnreachable,
    FormatNotServed,
    FoveaError,
    Shed,
    StartError,
    TooManyPixels,
    Undecodable,
)
from fovea_server.request import conversion
from fovea_server.request.conversion import Conversion, ConversionSettings

FORMATS = frozenset(("gif", "tiff"))
SCENE = scene(64, 48)
GIF, TIFF = saved(SCENE, "GIF"), saved(SCENE, "TIFF")
# 36 megapixels in a few kilobytes: 108 MB when decoded.
LARGE = saved(Image.new("RGB", (6000, 6000)), "TIFF", compression="tiff_adobe_deflate")


def _facts(image: bytes) -> ImageFacts:
    header = headers.read(image, frozenset(headers.ON_REQUEST))
    return ImageFacts(header.format, header.width, header.height, header.orientation, len(image))


def _conversion(max_pixels: int = 50_000_000, **settings: Any) -> Conversion:
    return Conversion(ConversionSettings(**{"formats": FORMATS, "workers": 1, **settings}), max_pixels)


@pytest.fixture
async def one() -> AsyncIterator[Conversion]:
    """One worker that may take half a second."""
    conversion = _conversion(seconds=0.5, max_waiting=1)
    yield conversion
    await conversion.close()
    assert not _workers()


def _workers() -> list[psutil.Process]:
    return children_running(other_formats_worker.__name__)


async def _png(conversion: Conversion, image: bytes, seconds: float = 30) -> bytes:
    async with conversion.served(image, _facts(image), Deadline.after(seconds)) as png:
        return png


async def _stopped(conversion: Conversion) -> psutil.Process:
    """The worker, warm, and then made to hang, as a decoder does that has no end."""
    await _png(conversion, GIF)
    (worker,) = _workers()
    worker.suspend()
    return worker


async def test_what_is_served_anyway_passes_at_once_and_starts_nothing(one: Conversion) -> None:
    for form in ("JPEG", "PNG", "WEBP", "BMP"):
        image = saved(SCENE, form)
        async with one.served(image, _facts(image), Deadline.after(0)) as same:
            assert same is image
    assert not _workers()


@pytest.mark.parametrize("image", [GIF, TIFF])
async def test_other_formats_come_out_as_a_png_of_the_same_pixels(one: Conversion, image: bytes) -> None:
    converted = Image.open(io.BytesIO(await _png(one, image)))
    assert converted.format == "PNG"
    expected = Image.open(io.BytesIO(image)).convert("RGB")
    assert np.array_equal(np.asarray(converted.convert("RGB")), np.asarray(expected))


async def test_one_process_serves_one_image_after_the_other(one: Conversion) -> None:
    before = [await _png(one, GIF), [worker.pid for worker in _workers()]]
    assert [await _png(one, GIF), [worker.pid for worker in _workers()]] == before


async def test_several_at_once_each_get_their_own() -> None:
    conversion = _conversion(workers=2)
    sizes = [(20 + number, 10) for number in range(12)]
    images = [saved(scene(*size), "TIFF") for size in sizes]
    converted = await asyncio.gather(*(_png(conversion, image) for image in images))
    assert [Image.open(io.BytesIO(png)).size for png in converted] == sizes
    assert 1 <= len(_workers()) <= 2
    await conversion.close()
    assert not _workers()


async def test_a_worker_that_dies_costs_its_image_and_nobody_elses(one: Conversion) -> None:
    worker = await _stopped(one)
    victim = asyncio.create_task(_png(one, TIFF))
    waiting = asyncio.create_task(_png(one, GIF))
    await asyncio.sleep(0.05)
    worker.send_signal(signal.SIGSEGV)
    worker.resume()
    with pytest.raises(Undecodable, match="the TIFF decoder died on it, with signal 11"):
        await victim
    assert await waiting
    assert worker.pid not in [each.pid for each in _workers()]


async def test_a_worker_that_died_while_it_was_idle_costs_no_image(one: Conversion) -> None:
    await _png(one, GIF)
    (worker,) = _workers()
    worker.kill()
    await eventually(lambda: not worker.is_running(), 10)
    assert await _png(one, GIF)


async def test_a_worker_that_hangs_is_killed_and_costs_its_image_alone(one: Conversion) -> None:
    worker = await _stopped(one)
    victim = asyncio.create_task(_png(one, TIFF))
    waiting = asyncio.create_task(_png(one, GIF))
    with pytest.raises(Undecodable, match=r"the TIFF decoder needed more than 0\.5 s on it"):
        await victim
    assert await waiting
    assert not worker.is_running()


async def test_an_image_that_takes_too_much_memory_is_refused_and_the_next_is_not() -> None:
    conversion = _conversion(memory=120_000_000)
    with pytest.raises(Undecodable, match=r"decoding this TIFF takes more memory than it may"):
        await _png(conversion, LARGE)
    assert await _png(conversion, GIF)
    await conversion.close()


async def test_what_the_decoder_refuses_keeps_its_kind_and_its_worker() -> None:
    conversion = _conversion(max_pixels=64 * 48)
    await _png(conversion, GIF)
    (worker,) = _workers()
    refused: list[tuple[bytes, type[FoveaError], str]] = [
        (saved(scene(64, 49), "GIF"), TooManyPixels, "64x49 is 3,136 pixels; at most 3,072"),
        (saved(SCENE.convert("F"), "TIFF"), FormatNotServed, "this is a floating-point TIFF"),
        (GIF[:-30], Undecodable, "the GIF decoder cannot read it; it is damaged"),
    ]
    for image, kind, reason in refused:
        with pytest.raises(kind, match=reason):
            await _png(conversion, image)
    assert _workers() == [worker]
    await conversion.close()


async def test_more_waiting_than_allowed_is_busy_with_an_estimate(one: Conversion) -> None:
    await _stopped(one)
    tasks = [asyncio.create_task(_png(one, GIF)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(Busy, match="1 requests with") as raised:
        await _png(one, GIF)
    assert raised.value.retry_after
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_deadline_ends_the_waiting_and_the_work(one: Conversion) -> None:
    worker = await _stopped(one)
    at_work, waiting = (asyncio.create_task(_png(one, GIF, seconds)) for seconds in (0.2, 0.1))
    # Where the first image took long, on a loaded machine, it is known at once that this one comes too late.
    with pytest.raises((DeadlineExceeded, DeadlineUnreachable), match=r"while 1 requests were waiting|in 100 ms"):
        await waiting
    with pytest.raises(DeadlineExceeded, match="the deadline passed while the GIF was being decoded"):
        await at_work
    await eventually(lambda: not worker.is_running(), 10)
    assert await _png(one, GIF)


async def test_a_caller_who_goes_away_ends_the_work(one: Conversion) -> None:
    worker = await _stopped(one)
    task = asyncio.create_task(_png(one, GIF))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not worker.is_running(), 10)
    assert await _png(one, GIF)


async def test_deadlines_too_short_for_a_start_do_not_start_one_process_after_the_other(one: Conversion) -> None:
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            await _png(one, GIF, 0.001)
    assert await _png(one, GIF)
    assert len(_workers()) == 1


async def test_a_place_is_kept_until_the_converted_image_is_answered(one: Conversion) -> None:
    async with one.served(GIF, _facts(GIF), Deadline.after(30)):
        with pytest.raises(DeadlineExceeded, match="while 1 requests were waiting"):
            await _png(one, GIF, 0.1)
    assert await _png(one, GIF)


async def test_in_a_full_room_a_batch_image_of_another_caller_makes_place(one: Conversion) -> None:
    async def png(priority: Priority, caller: str) -> bytes:
        async with one.served(GIF, _facts(GIF), Deadline.after(30), priority, caller) as converted:
            return converted

    async with one.served(GIF, _facts(GIF), Deadline.after(30)):
        batch = asyncio.create_task(png(Priority.BATCH, "a"))
        await asyncio.sleep(0.02)
        interactive = asyncio.create_task(png(Priority.INTERACTIVE, "b"))
        with pytest.raises(Shed):
            await batch
    assert await interactive


async def test_a_start_that_failed_for_one_who_went_away_is_not_handed_to_the_next(
    one: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(other_formats_worker, "__name__", "fovea_pipelines.not_converted")
        with pytest.raises(DeadlineExceeded):
            await _png(one, GIF, 0.001)
        await eventually(lambda: one._unclaimed, 10)
        await asyncio.wait(one._unclaimed)
    assert await _png(one, GIF)


async def test_closing_ends_idle_workers_busy_ones_and_those_that_are_just_starting() -> None:
    await asyncio.to_thread(lambda: None)  # the loop's threads are there before anything is counted
    before = psutil.Process().num_fds()
    conversion = _conversion(workers=3)
    async with conversion.served(GIF, _facts(GIF), Deadline.after(30)):
        await _stopped(conversion)
        tasks = [asyncio.create_task(_png(conversion, GIF)) for _ in range(2)]
        await asyncio.sleep(0.02)
        await conversion.close()
    assert not _workers()
    await asyncio.wait(tasks)
    assert all(task.cancelled() or task.exception() for task in tasks)
    await conversion.close()
    assert not _workers()
    await eventually(lambda: psutil.Process().num_fds() == before, 10)


async def test_a_worker_that_cannot_start_is_a_fault_of_ours_not_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_formats_worker, "__name__", "fovea_pipelines.not_converted")
    conversion = _conversion()
    with pytest.raises(RuntimeError, match="the process that decodes images ended as it started, with exit code 0"):
        await _png(conversion, GIF)
    await conversion.close()


def test_it_works_on_the_loop_that_serves() -> None:
    async def story() -> tuple[int, int]:
        conversion = _conversion()
        png = await _png(conversion, GIF)
        during = len(_workers())
        await conversion.close()
        return len(png), during

    size, during = uvloop.run(story())
    assert size > 64 * 48
    assert during == 1
    assert not _workers()


_GATEWAY = f"""
import asyncio, psutil, sys
from fovea_server.domain import Deadline, ImageFacts
from fovea_server.request.conversion import Conversion, ConversionSettings

async def main():
    image = {GIF!r}
    conversion = Conversion(ConversionSettings(formats=frozenset(("gif",))), 50_000_000)
    async with conversion.served(image, ImageFacts("gif", 64, 48, 1, len(image)), Deadline.after(30)):
        (worker,) = psutil.Process().children()
        print(worker.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("hanging", [False, True])
def test_workers_go_when_the_gateway_is_killed_even_one_that_hangs(hanging: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", _GATEWAY], stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        worker = psutil.Process(int(gateway.stdout.readline()))
        assert os.getsid(worker.pid) != os.getsid(gateway.pid)  # Ctrl-C at the terminal does not reach it
        if hanging:
            worker.suspend()
        gateway.kill()
    assert not psutil.wait_procs([worker], timeout=10)[1]


def test_formats_are_read_from_a_list() -> None:
    assert conversion.enabled("gif, TIFF") == {"gif", "tiff"}
    assert conversion.enabled("") == frozenset()


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(StartError, match="--formats names jpeg2000, psd") as raised:
        conversion.enabled("gif,psd,jpeg2000")
    assert raised.value.hint == "choose from gif,tiff,avif,heic"


@pytest.mark.parametrize(
    ("absent", "formats", "named"), [("pillow_heif", "gif,heic", "HEIC"), ("PIL", "gif,avif", "AVIF, GIF")]
)
def test_a_format_nothing_here_decodes_says_what_to_install(
    absent: str, formats: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    if absent == "PIL":
        monkeypatch.delitem(sys.modules, "PIL._avif", raising=False)
    with pytest.raises(StartError, match=f"what decodes {named} is not installed") as raised:
        conversion.enabled(formats)
    assert raised.value.hint == "run `pip install 'fovea-server[formats]'`"


async def test_a_heic_is_decoded_without_a_change_to_the_gateways_own_pillow() -> None:
    image = heic(SCENE)
    conversion = _conversion(formats=frozenset(("heic",)))
    converted = Image.open(io.BytesIO(await _png(conversion, image)))
    await conversion.close()
    assert np.abs(np.asarray(converted).astype(int) - np.asarray(SCENE)).max() <= 2
    assert "HEIF" not in Image.ID
