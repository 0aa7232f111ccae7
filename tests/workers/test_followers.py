"""Real followers without a Triton: they say what they are told, are started again, and never serve a taken port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from tests.conftest import children_running
from tests.ports import free_ports

from fovea_server.domain import Model, ModelIdentity
from fovea_server.edge.listen import EdgeSettings
from fovea_server.errors import StartError
from fovea_server.exposition import Family
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.court import Court
from fovea_server.request.readiness import Readiness
from fovea_server.settings import Settings
from fovea_server.workers import follower
from fovea_server.workers.channel import ChannelClosed
from fovea_server.workers.court_elsewhere import DoorElsewhere
from fovea_server.workers.followers import Followers
from fovea_server.workers.process import FollowerProcess
from fovea_server.workers.state import State


def _model(name: str) -> Model:
    return Model(ModelIdentity(name, "1", "digest"), "preprocess", name, f"classify_{name}", ("one",), 5, "", "", "")


class Server:
    """A first process that serves nothing itself, and its followers."""

    def __init__(self, ports: list[int], followers: int = 1) -> None:
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.readiness, self.catalogue = Readiness(), Catalogue([_model("first")])
        edge = EdgeSettings("127.0.0.1", *ports)
        settings = Settings(Path("models"), Path("state"), edge, workers=followers + 1, log_level="error")
        self.followers = Followers(settings, self.readiness, self.catalogue, Metrics(), Court(self.readiness))

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            return await client.get(path)

    async def post_nothing(self) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            return await client.post("/v1/classify", content=b"image")

    async def refused(self) -> float:
        """Requests that any process has refused, by what a scrape says."""
        lines = (await self.followers.exposition()).decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("fovea_requests_total{"))

    async def models(self) -> list[str]:
        return [model["name"] for model in (await self.get("/v1/models")).json()["models"]]


@asynccontextmanager
async def _started(ports: list[int], followers: int = 1) -> AsyncIterator[Server]:
    server = Server(ports, followers)
    try:
        await server.followers.start()
        yield server
    finally:
        await server.followers.stop(at_once=False)


async def test_a_follower_says_what_it_is_told() -> None:
    async with _started(free_ports(2)) as server:
        starting = await server.get("/readyz")
        assert (starting.status_code, starting.json()["detail"]) == (503, "Triton is starting")
        server.readiness.ready(1)
        server.catalogue.add(_model("second"))
        await server.catalogue.everywhere()
        assert (await server.get("/readyz")).status_code == 200
        assert await server.models() == ["first", "second"]
        await asyncio.wait_for(server.catalogue.remove(ModelIdentity("second", "1", "digest")), 20)
        assert await server.models() == ["first"]
        assert "fovea_workers 2.0" in (await server.get("/metrics")).text
        server.readiness.drain()
        await server.followers.agree()
        assert (await server.get("/readyz")).json()["reason"] == "DRAINING"
    assert not _followers()


def _followers() -> list[psutil.Process]:
    """Of this process, which may have children of other tests, too."""
    return children_running(follower.__name__)


async def test_one_that_is_killed_comes_back_as_the_server_then_is() -> None:
    async with _started(free_ports(2)) as server:
        await server.get("/v1/classify?nonsense=1")
        (first,) = _followers()
        first.kill()
        server.readiness.ready(1)
        for _ in range(300):
            if [each.pid for each in _followers()] not in ([], [first.pid]):
                break
            await asyncio.sleep(0.1)
        for _ in range(300):
            try:
                assert (await server.get("/readyz")).status_code == 200
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        assert "fovea_worker_restarts_total 1.0" in (await server.get("/metrics")).text


async def test_one_that_dies_during_a_scrape_is_counted_once() -> None:
    async with _started(free_ports(2), followers=2) as server:
        for _ in range(40):  # over connections of their own, which the kernel spreads
            assert (await server.post_nothing()).status_code == 503
        assert await server.refused() == 40
        one, other = _followers()
        one.suspend()  # so that the scrape waits for it
        try:
            scrape = asyncio.create_task(server.refused())
            await asyncio.sleep(0.2)
            other.kill()
            assert await scrape == 40
        finally:
            one.resume()
        assert await server.refused() == 40


async def test_one_that_is_starting_while_the_server_closes_does_not_take_connections_afterwards() -> None:
    async with _started(free_ports(2)) as server:
        (first,) = _followers()
        first.kill()
        for _ in range(300):
            if [each.pid for each in _followers()] not in ([], [first.pid]):
                break
            await asyncio.sleep(0.01)
        await server.followers.close(1)
        await asyncio.sleep(2)
        with pytest.raises(httpx.ConnectError):
            await server.get("/readyz")


class Listener(FollowerProcess):
    """A follower that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.door = DoorElsewhere()

    async def tell(self, state: State) -> None:
        self.heard.append(state.standing.phase)

    async def cut_off(self, models: Collection[str] | None, reason: str) -> None:
        self.heard.append(reason)


async def test_one_hears_that_the_server_is_not_ready_before_its_calls_are_cut_off() -> None:
    readiness, listener = Readiness(), Listener()
    settings = Settings(Path("models"), Path("state"))
    followers = Followers(settings, readiness, Catalogue([]), Metrics(), Court(readiness))
    await followers.start()
    followers._alive[1] = listener
    readiness.reviving("a process ended")
    followers.cut_off(["first"], "it was with it")
    await asyncio.sleep(0.05)
    assert listener.heard == ["reviving", "reviving", "it was with it"]


class Stillborn(Listener):
    """One that is counted at a scrape before it ends, without ever having served."""

    def __init__(self) -> None:
        super().__init__()
        name = "fovea_worker_answers_total"
        self.counted = [Family("fovea_worker_answers", "counter", "", {(name, (("worker", "1"),)): 3.0})]

    async def tell(self, state: State) -> None:
        raise ChannelClosed

    def kill(self) -> None:
        self.heard.append("killed")

    async def count(self, seconds: float) -> list[Family]:
        return self.counted

    async def end(self) -> None:
        self.heard.append("ended")


async def test_what_one_counted_that_never_served_stays_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stillborn = Stillborn()

    async def start(*_: object) -> FollowerProcess:
        return stillborn

    monkeypatch.setattr(FollowerProcess, "start", start)
    settings = Settings(Path("models"), Path("state"), workers=2)
    readiness = Readiness()
    followers = Followers(settings, readiness, Catalogue([]), Metrics(), Court(readiness))
    with pytest.raises(StartError, match="does not serve"):
        await followers.start()
    assert stillborn.heard == ["killed", "ended"]
    assert 'fovea_worker_answers_total{worker="1"} 3.0' in (await followers.exposition()).decode()


async def test_a_server_does_not_start_whose_follower_cannot_have_the_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server([taken.getsockname()[1], *free_ports(1)])
        with pytest.raises(
            StartError, match=r"gateway process 1 does not serve: StartError: port \d+ for REST cannot be used"
        ):
            await server.followers.start()
        await server.followers.stop(at_once=False)
    assert not _followers()
