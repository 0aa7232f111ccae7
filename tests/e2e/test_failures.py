"""Triton is killed, stopped, crowded out: each accepted request is answered or told why, and service returns."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.conftest import children_running
from tests.e2e.callers import Outcome, over_grpc, rest_outcome
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports
from tests.waiting import until

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_pipelines import compiled_networks
from fovea_pipelines.package import ModelPackage

_TYPED = {"NOT_READY", "DRAINING", "BUSY"}


async def _load_until(server: Served, image: bytes, stop: asyncio.Event, concurrency: int = 16) -> list[Outcome]:
    """Every outcome of callers that ask again and again until told to stop; they have time for a slow revival."""
    outcomes: list[Outcome] = []

    async def caller(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            outcome = await rest_outcome(client, image)
            outcomes.append(outcome)
            if outcome.reason:
                await asyncio.sleep(0.02)

    patience = {"X-Request-Timeout": "30"}
    async with httpx.AsyncClient(base_url=server.url, timeout=35, headers=patience) as client:
        await asyncio.gather(*(caller(client) for _ in range(concurrency)))
    return outcomes


async def _until(is_so: Callable[[], bool]) -> None:
    """Callers of this process go on meanwhile. How soon it comes is for the drills: here others have the CPU too."""
    await asyncio.to_thread(until, is_so, 90, every=0.02)


async def test_killing_triton_under_load_loses_nothing_silently_and_service_returns(
    own_server: Served, espresso: bytes
) -> None:
    stop = asyncio.Event()
    load = asyncio.create_task(_load_until(own_server, espresso, stop))
    await asyncio.sleep(1)
    triton = own_server.triton()
    family = [triton, *triton.children(recursive=True)]
    triton.kill()
    await _until(lambda: not own_server.is_ready())
    await _until(own_server.is_ready)
    await asyncio.sleep(1)
    stop.set()
    outcomes = await load

    counts = Counter(outcome.reason for outcome in outcomes)
    assert set(counts) <= {None, *_TYPED}, counts
    assert counts["NOT_READY"] > 0
    assert [outcome.reason for outcome in outcomes[-16:]] == [None] * 16
    assert all(outcome.labels[0] == 967 for outcome in outcomes if outcome.reason is None)
    assert own_server.triton().pid != triton.pid
    await _until(lambda: not any(_is_alive(process) for process in family))


async def test_killing_triton_under_a_grpc_load_answers_or_tells_each(own_server: Served, espresso: bytes) -> None:
    load = asyncio.create_task(over_grpc(own_server, [espresso] * 600, concurrency=16))
    await asyncio.sleep(1)
    own_server.triton().kill()
    counts = Counter(outcome.reason for outcome in await load)
    assert set(counts) == {None, "UNAVAILABLE"}
    assert sum(counts.values()) == 600
    await _until(own_server.is_ready)


@pytest.mark.parametrize(
    ("own_server", "how"),
    [(1, signal.SIGKILL), (1, signal.SIGSTOP), (2, signal.SIGSTOP), (2, signal.SIGKILL)],
    indirect=["own_server"],
)
async def test_one_of_a_models_processes_that_dies_or_hangs_is_revived_without_a_restart(
    own_server: Served, espresso: bytes, how: signal.Signals
) -> None:
    triton = own_server.triton().pid
    kept = compiled_networks.of_this_user()
    assert kept is not None
    for of_who_was_killed in kept._folder.glob("*.*"):  # by another test, over the network that is to be found here
        of_who_was_killed.unlink()
    stop = asyncio.Event()
    load = asyncio.create_task(_load_until(own_server, espresso, stop))
    await asyncio.sleep(0.5)
    began = time.time()
    children_running("/classify_efficientnet_lite0/", triton)[0].send_signal(how)
    await _until(lambda: "fovea_model_revivals_total 1.0" in own_server.metrics() and own_server.is_ready())
    stop.set()
    outcomes = await load
    counts = Counter(outcome.reason for outcome in outcomes)
    assert set(counts) <= {None, "NOT_READY"}
    # Those in flight; who came after them has waited. A hang takes a second to be seen, and they ask again meanwhile.
    assert counts["NOT_READY"] <= (16 if how == signal.SIGKILL else 48)
    async with httpx.AsyncClient(base_url=own_server.url, timeout=30) as client:
        assert (await rest_outcome(client, espresso)).labels[0] == 967
    assert own_server.triton().pid == triton
    assert max(file.stat().st_mtime for file in kept._folder.iterdir()) > began


async def test_a_triton_that_hangs_is_replaced(own_server: Served, espresso: bytes) -> None:
    before = own_server.triton()
    before.suspend()
    async with httpx.AsyncClient(base_url=own_server.url, timeout=30) as client:
        told = await client.post("/v1/classify", content=espresso, headers={"X-Request-Timeout": "20"})
        assert (told.status_code, told.json()["reason"]) == (503, "NOT_READY")
        assert "hangs" in told.json()["detail"]
        await _until(lambda: not _is_alive(before) and own_server.is_ready())
        assert (await rest_outcome(client, espresso)).reason is None


async def test_a_triton_that_does_not_answer_is_a_deadline(own_server: Served, espresso: bytes) -> None:
    triton = own_server.triton()
    triton.suspend()
    try:
        async with httpx.AsyncClient(base_url=own_server.url, timeout=10) as client:
            response = await client.post("/v1/classify", content=espresso, headers={"X-Request-Timeout": "1"})
    finally:
        triton.resume()
    assert (response.status_code, response.json()["reason"]) == (504, "DEADLINE_EXCEEDED")
    assert "while the model was at work" in response.json()["detail"]


async def test_a_server_without_triton_says_503_with_the_time_to_wait_on_both_faces(
    own_server: Served, espresso: bytes
) -> None:
    own_server.triton().kill()
    with _held(own_server.triton_port):  # so that no new Triton can start
        await _until(lambda: not own_server.is_ready())
        response = httpx.post(f"{own_server.url}/v1/classify", content=espresso, timeout=10)
        assert httpx.get(f"{own_server.url}/healthz").status_code == 200
        assert "fovea_triton_up 0.0" in httpx.get(f"{own_server.url}/metrics").text
        with pytest.raises(grpc.RpcError) as raised, grpc.insecure_channel(own_server.grpc) as channel:
            vision_pb2_grpc.VisionStub(channel).Classify(vision_pb2.ClassifyRequest(image=espresso), timeout=10)
    assert (response.status_code, response.json()["reason"]) == (503, "NOT_READY")
    assert int(response.headers["Retry-After"]) >= 1
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    status = status_pb2.Status.FromString(dict(raised.value.trailing_metadata())["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() > 0
    await _until(own_server.is_ready)


@contextlib.contextmanager
def _held(port: int) -> Iterator[None]:
    """Listen on a port as soon as it is free, until the block ends."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for _ in range(200):
            with contextlib.suppress(OSError):
                holder.bind(("127.0.0.1", port))
                break
            time.sleep(0.01)
        holder.listen()
        yield


async def test_a_health_watch_does_not_hold_the_stop_up(own_server: Served) -> None:
    with grpc.insecure_channel(own_server.grpc) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
        own_server.process.send_signal(signal.SIGTERM)
        assert own_server.process.wait(12) == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_fails_readiness_first_and_finishes_what_was_accepted(
    package: ModelPackage, espresso: bytes, workers: int
) -> None:
    with served(free_ports(5), "--drain-notice=3", f"--workers={workers}") as own_server:
        await _stopped_in_order(own_server, espresso)


async def _stopped_in_order(own_server: Served, espresso: bytes) -> None:
    regions = set(Path("/dev/shm").glob(f"fovea_{own_server.process.pid}_*"))
    assert regions
    family = psutil.Process(own_server.process.pid).children(recursive=True)
    async with httpx.AsyncClient(base_url=own_server.url, timeout=30) as client:
        accepted = [asyncio.create_task(rest_outcome(client, espresso)) for _ in range(60)]
        await asyncio.sleep(0.15)
        own_server.process.send_signal(signal.SIGTERM)
        for _ in range(8):  # each over a connection of its own, so that every gateway process is asked
            readiness = await _first_that_is_not_ready(own_server.url)
            assert (readiness.status_code, readiness.json()["reason"]) == (503, "DRAINING")
        late = await rest_outcome(client, espresso)
        assert late.reason is None
        outcomes = await asyncio.gather(*accepted)
    assert [outcome.reason for outcome in outcomes] == [None] * 60
    assert own_server.process.wait(15) == 0
    assert "failed to stop server" not in own_server.log  # as Triton says whose callers did not hang up
    assert not any(_is_alive(process) for process in family)
    assert not any(region.exists() for region in regions)


async def _first_that_is_not_ready(url: str) -> httpx.Response:
    """A busy gateway reads the signal when its loop comes round; the notice it gives is counted from then.

    Without certificates: reading them takes eight clients 0.3 s of CPU, on a busy machine all of the notice.
    """
    async with httpx.AsyncClient(base_url=url, timeout=30, verify=False) as client:  # noqa: S501 - plain HTTP
        for _ in range(100):
            answer = await client.get("/readyz")
            if answer.status_code != 200:
                return answer
            await asyncio.sleep(0.05)
    raise AssertionError("it said it was ready for 5 s after SIGTERM")


@pytest.mark.parametrize("own_server", [1, 2], indirect=True)
async def test_a_gateway_that_is_killed_takes_its_triton_and_its_followers_with_it(own_server: Served) -> None:
    family = psutil.Process(own_server.process.pid).children(recursive=True)
    own_server.process.kill()
    await _until(lambda: not any(_is_alive(process) for process in family))


async def test_so_does_a_triton_that_hangs_then(own_server: Served) -> None:
    family = psutil.Process(own_server.process.pid).children(recursive=True)
    own_server.triton().send_signal(signal.SIGSTOP)
    own_server.process.kill()
    await _until(lambda: not any(_is_alive(process) for process in family))


async def test_more_than_may_wait_is_refused_and_the_rest_answered(package: ModelPackage, espresso: bytes) -> None:
    with served(free_ports(5), "--max-in-flight=1", "--max-waiting=4") as server:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
            outcomes = await asyncio.gather(*(rest_outcome(client, espresso) for _ in range(40)))
    counts = Counter(outcome.reason for outcome in outcomes)
    assert set(counts) == {None, "BUSY"}
    assert counts[None] >= 5


def test_what_keeps_it_from_starting_is_said_with_the_remedy(server: Served) -> None:
    taken = subprocess.run(
        [FOVEA, "serve", f"--rest-port={server.rest_port}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert taken.returncode == 1
    assert f"error: port {server.rest_port} for REST cannot be used: process {server.process.pid}" in taken.stderr
    assert "hint: " in taken.stderr
    assert "Traceback" not in taken.stderr


def test_a_port_that_is_wanted_twice_is_named(package: ModelPackage) -> None:
    (port,) = free_ports(1)
    result = subprocess.run(
        [FOVEA, "serve", f"--rest-port={port}", f"--grpc-port={port}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert f"error: port {port} is wanted for REST and for gRPC" in result.stderr


def test_a_model_that_is_not_built_is_said_with_the_remedy(package: ModelPackage, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(package.folder.parent, tmp_path / "repository"))
    (repository / "efficientnet_lite0/1/model.onnx").unlink()
    result = subprocess.run(
        [FOVEA, "serve", f"--repository={repository}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 1
    assert "model.onnx is not built" in result.stderr
    assert "hint: build it with `fovea models build`" in result.stderr


def test_a_model_that_answers_its_golden_image_wrongly_does_not_serve(package: ModelPackage, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(package.folder.parent, tmp_path / "repository"))
    description = repository / "efficientnet_lite0/model.toml"
    description.write_text(description.read_text().replace("index = 967", "index = 968"))
    ports = free_ports(4)
    names = ("rest", "grpc", "triton-grpc", "triton-metrics")
    options = [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]
    result = subprocess.run(
        [FOVEA, "serve", f"--repository={repository}", *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "answers its golden image with espresso at 0.9" in result.stderr
    assert "; right is cup" in result.stderr


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
