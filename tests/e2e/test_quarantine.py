"""An image that ends the process that decodes it, twice, is refused from then on; its bystanders never are."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.callers import Outcome, rest_outcome
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage

_MARK = b"ends its decoder"
_FATAL = f"""
import os, signal
from fovea_pipelines.triton_models import DecodeAndInfer, images_of

class TritonPythonModel(DecodeAndInfer):
    def execute(self, requests):
        if any({_MARK!r} in image.tobytes() for request in requests for image in images_of(request)):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().execute(requests)
"""


def _with_comment(jpeg: bytes, text: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


@pytest.fixture(params=["--workers=1", "--workers=2"])
def fragile(request: pytest.FixtureRequest, package: ModelPackage, tmp_path: Path) -> Iterator[Served]:
    """A server whose decoder dies of a JPEG with a certain comment."""
    repository = Path(shutil.copytree(package.folder.parent, tmp_path / "repository"))
    (repository / package.ensemble / "1/model.py").write_text(_FATAL)
    with served(free_ports(5), f"--repository={repository}", request.param) as server:
        yield server


def _sent(server: Served, image: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/classify", content=image, timeout=30)


def _quarantine(server: Served, *words: str) -> str:
    command = [FOVEA, "quarantine", *words, f"--state={server.state}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _deaths(server: Served) -> int:
    return int(float(server.metrics().split("\nfovea_process_deaths_total ")[1].split()[0]))


def _until_revived(server: Served, deaths: int) -> None:
    """The decoder died once more, and another one answers."""
    began = time.monotonic()
    while _deaths(server) == deaths or not server.is_ready():
        assert time.monotonic() - began < 30
        time.sleep(0.05)


def _dies_of(server: Served, image: bytes) -> None:
    deaths = _deaths(server)
    problem = _sent(server, image)
    assert (problem.status_code, problem.json()["reason"]) == (503, "NOT_READY")
    _until_revived(server, deaths)


def test_an_image_that_kills_twice_is_refused_kept_and_can_be_cleared(fragile: Served, espresso: bytes) -> None:
    killer = _with_comment(espresso, _MARK)
    _dies_of(fragile, killer)
    assert _sent(fragile, espresso).status_code == 200
    _dies_of(fragile, killer)
    deaths = _deaths(fragile)
    problem = _sent(fragile, killer)
    assert (problem.status_code, problem.json()["reason"]) == (422, "QUARANTINED")
    assert _sent(fragile, espresso).status_code == 200
    assert _sent(fragile, _with_comment(espresso, b"x" * len(_MARK))).status_code == 200
    assert _deaths(fragile) == deaths

    (kept,) = (fragile.state / "quarantine").glob("*.image")
    assert kept.read_bytes() == killer
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.stem in _quarantine(fragile, "list")
    assert str(kept) in _quarantine(fragile, "show", kept.stem[:12])
    _quarantine(fragile, "clear", kept.stem)
    assert not kept.exists()
    time.sleep(1.5)
    _dies_of(fragile, killer)


@contextlib.asynccontextmanager
async def _load(server: Served, images: list[bytes], callers: int) -> AsyncIterator[list[Outcome]]:
    """The same few images again and again, as long as it is entered."""
    outcomes: list[Outcome] = []
    stop = asyncio.Event()

    async def call(client: httpx.AsyncClient, number: int) -> None:
        while not stop.is_set():
            outcome = await rest_outcome(client, images[number % len(images)])
            outcomes.append(outcome)
            await asyncio.sleep(0.05 if outcome.reason else 0)

    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        calls = [asyncio.create_task(call(client, number)) for number in range(callers)]
        yield outcomes
        stop.set()
        await asyncio.gather(*calls)


async def test_under_load_the_killer_is_found_among_images_that_are_sent_again_and_again(
    fragile: Served, espresso: bytes
) -> None:
    killer = _with_comment(espresso, _MARK)
    bystanders = [espresso, *(_with_comment(espresso, bytes(number)) for number in range(1, 12))]
    reasons = []
    async with _load(fragile, bystanders, callers=12) as outcomes, httpx.AsyncClient(base_url=fragile.url) as client:
        while "QUARANTINED" not in reasons:
            deaths = _deaths(fragile)
            reasons.append((await rest_outcome(client, killer)).reason)
            if reasons[-1] == "NOT_READY":
                await asyncio.to_thread(_until_revived, fragile, deaths)
            assert len(reasons) < 8, reasons
            await asyncio.sleep(1)
    assert reasons.count("NOT_READY") <= 3, reasons
    assert set(Counter(outcome.reason for outcome in outcomes)) <= {None, "NOT_READY", "DEADLINE_EXCEEDED"}
    assert [outcome.reason for outcome in outcomes[-12:]] == [None] * 12
