"""Two gateway processes are one server: both answer, all is counted once, and one that dies hurts no other."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.callers import Outcome, over_grpc, over_rest, rest_outcome
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports
from tests.waiting import eventually

from fovea_pipelines import triton_folders
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.triton_folders import Network

_CALLERS = 16


@pytest.fixture(scope="module")
def two(package: ModelPackage) -> Iterator[Served]:
    with served(free_ports(5), "--workers=2") as server:
        yield server


def _counted(server: Served, series: str) -> float:
    """A series of the whole server, its labels summed."""
    text = httpx.get(f"{server.url}/metrics", timeout=10).text
    return sum(float(value) for value in re.findall(rf"^{re.escape(series)}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def _answers(server: Served, worker: int) -> float:
    return _counted(server, f'fovea_worker_answers_total{{worker="{worker}"}}')


async def test_both_processes_answer_on_both_faces_and_every_request_is_counted_once(
    two: Served, espresso: bytes
) -> None:
    before = [_answers(two, worker) for worker in (0, 1)]
    requests = _counted(two, "fovea_requests_total")
    # httpx opens as many connections as there are callers; the kernel gives each to one process.
    outcomes = await over_rest(two, [espresso] * 60, concurrency=30)
    outcomes += await over_rest(two, [b"no image"] * 20, concurrency=20)
    for _ in range(6):  # one connection each
        outcomes += await over_grpc(two, [espresso] * 2, concurrency=2)
    assert Counter(outcome.reason for outcome in outcomes) == {None: 72, "NOT_AN_IMAGE": 20}
    answered = [_answers(two, worker) - count for worker, count in zip((0, 1), before, strict=True)]
    assert sum(answered) == 72
    assert min(answered) > 0
    # Whichever process is asked, it answers for both.
    for _ in range(6):
        assert _counted(two, "fovea_requests_total") - requests == 92
        assert _counted(two, "fovea_workers") == 2


def test_the_ports_of_two_processes_are_refused_to_a_second_server(two: Served) -> None:
    other = free_ports(3)
    for port, name in ((two.rest_port, "REST"), (two.grpc_port, "gRPC")):
        taken = subprocess.run(
            [
                *(FOVEA, "serve", "--workers=2", f"--{name.lower()}-port={port}"),
                *(f"--{'grpc' if name == 'REST' else 'rest'}-port={other[0]}",),
                *(f"--triton-grpc-port={other[1]}", f"--triton-metrics-port={other[2]}"),
            ],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert taken.returncode == 1
        assert f"error: port {port} for {name} cannot be used: process" in taken.stderr


def test_more_processes_than_requests_in_flight_are_refused() -> None:
    result = subprocess.run(
        [FOVEA, "serve", "--workers=4", "--max-in-flight=3"], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 2
    assert "--workers 4 cannot share --max-in-flight 3" in result.stderr


async def _call(server: Served, image: bytes, stop: asyncio.Event) -> list[Outcome]:
    """One caller with one connection, opened again when it breaks."""
    outcomes: list[Outcome] = []
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        while not stop.is_set():
            outcomes.append(await rest_outcome(client, image))
    return outcomes


@pytest.mark.parametrize("own_server", [2], indirect=True)
async def test_a_process_that_is_killed_under_load_breaks_its_own_connections_alone_and_comes_back(
    own_server: Served, espresso: bytes
) -> None:
    triton, (follower,) = own_server.triton().pid, own_server.followers()
    await eventually(lambda: _serving(own_server) == 1, 20, every=0.1)
    stop = asyncio.Event()
    callers = [asyncio.create_task(_call(own_server, espresso, stop)) for _ in range(_CALLERS)]
    await asyncio.sleep(3)
    seen = await asyncio.to_thread(_counted, own_server, "fovea_requests_total")
    follower.suspend()
    await asyncio.sleep(0.3)  # until its callers wait for it, however late this process is
    follower.kill()
    await eventually(lambda: [each.pid for each in own_server.followers()] not in ([], [follower.pid]), 10, every=0.1)
    await asyncio.to_thread(own_server.wait_ready)
    await asyncio.sleep(1)
    stop.set()
    outcomes = await asyncio.gather(*callers)

    broken = [[outcome.reason for outcome in of_one if outcome.reason] for of_one in outcomes]
    # The kernel may give a caller that comes back at once to the one that is dying.
    assert all(len(reasons) <= 2 for reasons in broken), broken
    assert {reason.split(":")[0] for reasons in broken for reason in reasons} <= {"transport"}
    assert 0 < sum(map(len, broken)) < _CALLERS
    assert own_server.triton().pid == triton
    assert _counted(own_server, "fovea_worker_restarts_total") == 1
    assert _counted(own_server, "fovea_requests_total") >= seen
    await eventually(lambda: _counted(own_server, "fovea_workers") == 2, 10, every=0.1)

    before = _answers(own_server, 1)
    again = await over_rest(own_server, [espresso] * 30, concurrency=30)
    assert {outcome.reason for outcome in again} == {None}
    assert _answers(own_server, 1) > before


async def test_a_quota_is_one_quota_whichever_process_is_asked(
    package: ModelPackage, espresso: bytes, tmp_path: Path
) -> None:
    made = [FOVEA, "keys", "create", "--requests-per-second=2", f"--state={tmp_path}"]
    said = await asyncio.to_thread(subprocess.run, made, capture_output=True, text=True, timeout=60, check=True)
    key = said.stdout.strip()
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}  # one each, which the kernel spreads
    with served(free_ports(5), "--workers=2", "--require-keys", state=tmp_path) as server:
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            outcomes = await asyncio.gather(*(rest_outcome(client, espresso) for _ in range(60)))
        seconds = time.monotonic() - began
    reasons = Counter(outcome.reason for outcome in outcomes)
    assert set(reasons) == {None, "QUOTA_EXCEEDED"}
    assert 10 <= reasons[None] <= 11 + 2 * seconds  # five seconds' worth at once; each for itself would give twice that


async def test_a_model_comes_and_goes_in_both_processes_at_once_without_a_failed_request(
    package: ModelPackage, espresso: bytes, tmp_path: Path
) -> None:
    _add_a_copy(package, tmp_path)
    with served(free_ports(5), "--workers=2", f"--state={tmp_path}") as server:
        (control,) = tmp_path.glob("control-*.sock")
        stop = asyncio.Event()
        callers = [asyncio.create_task(_call(server, espresso, stop)) for _ in range(6)]
        # A connection for each: one that idles for long may end at the very moment that it is used again.
        door = httpx.AsyncHTTPTransport(uds=str(control), limits=httpx.Limits(max_keepalive_connections=0))
        async with httpx.AsyncClient(transport=door, timeout=60) as desk:
            assert await _everywhere(server, espresso) == {"OK"}
            for _ in range(2):
                assert (await desk.delete("http://fovea/models/copy")).status_code == 204
                assert await _everywhere(server, espresso) == {"UNKNOWN_MODEL"}
                assert (await desk.put("http://fovea/models/copy")).status_code == 200
                assert await _everywhere(server, espresso) == {"OK"}
        stop.set()
        outcomes = await asyncio.gather(*callers)
    assert {outcome.reason for of_one in outcomes for outcome in of_one} == {None}


def _add_a_copy(package: ModelPackage, state: Path) -> None:
    """The default model once more, under another name, among those that were added."""
    folder = Path(shutil.copytree(package.folder, state / "models/copy"))
    for file in (folder / "model.toml", folder / "configs/cpu.pbtxt"):
        file.write_text(file.read_text().replace("efficientnet_lite0", "copy"))
    network = Network.of(ModelPackage.read(folder))
    triton_folders.write(triton_folders.ensemble(network), state / "models" / network.ensemble)


async def _everywhere(server: Served, image: bytes) -> set[str]:
    """What those say who are asked for the copy, each over a connection of its own."""

    def ask() -> str:
        answer = httpx.post(f"{server.url}/v1/classify?model=copy", content=image, timeout=30)
        return "OK" if answer.status_code == 200 else str(answer.json()["reason"])

    return {await asyncio.to_thread(ask) for _ in range(10)}


@pytest.mark.parametrize("own_server", [2], indirect=True)
async def test_a_process_that_hangs_is_ended_and_replaced(own_server: Served, espresso: bytes) -> None:
    (follower,) = own_server.followers()
    await eventually(lambda: _serving(own_server) == 1, 20, every=0.1)
    follower.suspend()
    await eventually(lambda: [each.pid for each in own_server.followers()] not in ([], [follower.pid]), 40, every=0.1)
    await eventually(lambda: _serving(own_server) == 2, 20, every=0.1)
    assert "worker does not answer, so it is ended" in own_server.log
    outcomes = await over_rest(own_server, [espresso] * 20, concurrency=20)
    assert {outcome.reason for outcome in outcomes} == {None}


def _serving(server: Served) -> int:
    """How many workers beside the first have begun to take connections, also those that ended since."""
    return server.log.count('"worker serves"')
