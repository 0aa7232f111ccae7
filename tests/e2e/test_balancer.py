"""Two servers behind HAProxy as deploy/haproxy.cfg has it: one that is restarted in order costs nobody an answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc.aio
import httpx
import pytest
from tests.conftest import ROOT
from tests.e2e.callers import Outcome, grpc_outcome, rest_outcome
from tests.e2e.served import Served, served
from tests.ports import free_ports
from tests.waiting import eventually

from fovea_client.wire import vision_pb2_grpc
from fovea_pipelines.package import ModelPackage

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


_CALLERS = 8
_BOTH = {"rest": 2, "grpc": 2}


class Balanced:
    """HAProxy before two servers, which may come and go."""

    def __init__(self, ports: list[list[int]], own: list[int]) -> None:
        self.rest, self.grpc, self.state = own
        self._ports = ports
        self._running = [contextlib.ExitStack() for _ in ports]
        self.servers: dict[int, Served] = {}

    def configuration(self) -> str:
        """The file as it is shipped, with our addresses in the place of its own."""
        text = (ROOT / "deploy/haproxy.cfg").read_text()
        for (rest, grpc_port, *_), host in zip(self._ports, ("10.0.0.7", "10.0.0.8"), strict=True):
            text = text.replace(f"{host}:8080", f"127.0.0.1:{rest}").replace(f"{host}:8081", f"127.0.0.1:{grpc_port}")
            text = text.replace(f"127.0.0.1:{grpc_port} proto h2 check-proto h1 port 8080", (
                f"127.0.0.1:{grpc_port} proto h2 check-proto h1 port {rest}"
            ))  # fmt: skip
        text = text.replace("bind :8080", f"bind 127.0.0.1:{self.rest}")
        text = text.replace("bind :8081", f"bind 127.0.0.1:{self.grpc}").replace("8404", str(self.state))
        assert not re.search(r"10\.0\.0|:808[01]\b| 808[01]\b", text)
        return text

    def start(self, which: int) -> None:
        running = served(self._ports[which], "--drain-notice=1", in_order=True)
        self.servers[which] = self._running[which].enter_context(running)

    def stop(self, which: int) -> None:
        """In order, as SIGTERM does."""
        self._running[which].close()

    def up(self) -> Counter[str]:
        """How many servers each backend has, as HAProxy says."""
        text = ""
        with contextlib.suppress(httpx.ConnectError):  # it starts
            text = httpx.get(f"http://127.0.0.1:{self.state}/;csv", timeout=5).text
        rows = [line.split(",") for line in text.splitlines()[1:] if line]
        return Counter(row[0] for row in rows if row[1] in ("a", "b") and row[17].startswith("UP"))


@pytest.fixture
def balanced(package: ModelPackage, tmp_path: Path) -> Iterator[Balanced]:
    balanced = Balanced([free_ports(5), free_ports(5)], free_ports(3))
    file = tmp_path / "haproxy.cfg"
    file.write_text(balanced.configuration())
    with contextlib.ExitStack() as stack:
        for which in (0, 1):
            stack.callback(balanced.stop, which)
            balanced.start(which)
        haproxy = subprocess.Popen(["haproxy", "-f", str(file)])
        stack.callback(haproxy.wait, 5)
        stack.callback(haproxy.kill)
        yield balanced


def _answers(server: Served) -> float:
    found = re.search(r'^fovea_worker_answers_total{worker="0"} (\S+)$', server.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0


@contextlib.asynccontextmanager
async def _callers(balanced: Balanced, image: bytes) -> AsyncIterator[list[Outcome]]:
    """Half of them over REST, each with its own connection, half over one gRPC channel, as long as it is entered; both
    servers are seen to be up before."""
    outcomes: list[Outcome] = []
    stop = asyncio.Event()

    async def over_rest() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{balanced.rest}", timeout=30) as client:
            while not stop.is_set():
                outcomes.append(await rest_outcome(client, image))

    async def over_grpc(vision: vision_pb2_grpc.VisionStub) -> None:
        while not stop.is_set():
            outcomes.append(await grpc_outcome(vision, image))

    await eventually(lambda: balanced.up() == _BOTH, 10, every=0.1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{balanced.grpc}") as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        calls = [(over_rest(), over_grpc(vision)) for _ in range(_CALLERS // 2)]
        calling = asyncio.gather(*(call for both in calls for call in both))
        try:
            yield outcomes
        finally:
            stop.set()
            await calling


async def test_no_request_over_rest_or_grpc_fails_while_servers_are_restarted_in_turn(
    balanced: Balanced, espresso: bytes
) -> None:
    async with _callers(balanced, espresso) as outcomes:
        for which in (0, 1):
            await asyncio.to_thread(balanced.stop, which)
            await eventually(lambda: balanced.up() == {"rest": 1, "grpc": 1}, 10, every=0.1)
            await asyncio.to_thread(balanced.start, which)
            await eventually(lambda: balanced.up() == _BOTH, 10, every=0.1)
            await asyncio.sleep(2)
    assert all(_answers(server) > 20 for server in balanced.servers.values())  # of what came since its restart
    assert Counter(outcome.reason for outcome in outcomes) == {None: len(outcomes)}
    assert all(outcome.labels[0] == 967 for outcome in outcomes)


async def test_a_server_that_is_killed_costs_what_it_had_inside_and_no_more(
    balanced: Balanced, espresso: bytes
) -> None:
    async with _callers(balanced, espresso) as outcomes:
        await asyncio.sleep(2)
        balanced.servers[0].process.kill()
        await eventually(lambda: balanced.up() == {"rest": 1, "grpc": 1}, 10, every=0.1)
        await asyncio.sleep(1)
    lost = [outcome.reason for outcome in outcomes if outcome.reason]
    assert len(lost) <= _CALLERS
    assert len(outcomes) - len(lost) > 50
    assert [outcome.reason for outcome in outcomes[-_CALLERS:]] == [None] * _CALLERS
