"""Experiments as callers meet them: answers name experiment and arm, and what is known of them is read over REST."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator

import grpc.aio
import httpx
import pytest
from tests.edge.faces import Faces, faces
from tests.studies.made_up import split

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.few_at_once import FewAtOnce
from fovea_server.studies.readout import Readout
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Change

ME = Change("me", "because")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    async with faces() as served:
        yield served


@pytest.fixture
async def client(served: Faces) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.rest) as client:
        yield client


def _trial(**fields: object) -> Experiment:
    arms = [{"name": "control", "model": "m", "weight": 0.5}, {"name": "candidate", "model": "other", "weight": 0.5}]
    return split(**{"model": "m", "arms": arms, "primary_metric": "latency"} | fields)


async def _start(served: Faces, experiment: Experiment) -> None:
    store = served.experiments.readouts.store
    store.start(store.create(experiment, ME), ME)
    for _ in range(100):
        if served.experiments.routing.plan.splits:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the experiment was not seen within 2 s")


async def _rest(client: httpx.AsyncClient, unit: str) -> dict[str, str]:
    answer = await client.post("/v1/classify", content=PNG, headers={"X-Unit": unit})
    experiment: dict[str, str] = answer.json()["experiment"]
    assert answer.json()["model"]["name"] == {"control": "m", "candidate": "other"}[experiment["arm"]]
    return experiment


async def test_over_rest_and_grpc_the_same_unit_meets_the_same_arm_and_the_answer_names_it(
    served: Faces, client: httpx.AsyncClient
) -> None:
    await _start(served, _trial())
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        arms = set()
        for number in range(20):
            unit = f"user-{number}"
            over_rest = await _rest(client, unit)
            in_message = (await vision.Classify(vision_pb2.ClassifyRequest(image=PNG, unit=unit))).experiment
            in_metadata = (
                await vision.Classify(vision_pb2.ClassifyRequest(image=PNG), metadata=(("x-unit", unit),))
            ).experiment
            assert (in_message.name, in_message.arm) == (in_metadata.name, in_metadata.arm) == tuple(over_rest.values())
            arms.add(over_rest["arm"])
        assert arms == {"control", "candidate"}


async def test_a_unit_of_any_letters_meets_the_same_arm_over_rest_grpc_and_events(
    served: Faces, client: httpx.AsyncClient
) -> None:
    await _start(served, _trial(primary_metric="event:bought"))
    over_rest, over_grpc = [], []
    units = [f"josé-東京-{number}" for number in range(20)]
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        for unit in units:
            answer = await client.post("/v1/classify", content=PNG, headers={b"X-Unit": unit.encode()})
            over_rest.append(answer.json()["experiment"]["arm"])
            over_grpc.append((await vision.Classify(vision_pb2.ClassifyRequest(image=PNG, unit=unit))).experiment.arm)
            assert (await client.post("/v1/events", json={"name": "bought", "unit": unit})).json() == {"counted": True}
    assert over_rest == over_grpc
    assert set(over_rest) == {"control", "candidate"}
    for _ in range(100):
        said = (await client.get("/v1/experiments/trial")).json()
        if sum(arm["observations"] for arm in said["seen"]) == len(units):
            break
        await asyncio.sleep(0.05)
    assert {arm["name"]: arm["observations"] for arm in said["seen"]} == dict(Counter(over_rest))


async def test_a_unit_that_events_could_not_report_is_refused_by_every_face(
    served: Faces, client: httpx.AsyncClient
) -> None:
    longest, longer = "é" * 255, "u" * 256
    told = "X-Unit has 256 characters; at most 255"
    for unit, status in ((longest, 200), (longer, 422)):
        answer = await client.post("/v1/classify", content=PNG, headers={b"X-Unit": unit.encode()})
        assert answer.status_code == status
    assert (answer.json()["reason"], answer.json()["detail"]) == ("BAD_PARAMETER", told)
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        await vision.Classify(vision_pb2.ClassifyRequest(image=PNG, unit=longest))
        for call in (
            vision.Classify(vision_pb2.ClassifyRequest(image=PNG, unit=longer)),
            vision.Classify(vision_pb2.ClassifyRequest(image=PNG), metadata=(("x-unit", longer),)),
            vision.Analyze(vision_pb2.AnalyzeRequest(image=PNG, models=["m"], unit=longer)),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=told) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        asked = [vision_pb2.ClassifyRequest(image=PNG, unit=unit, request_id=unit[:1]) for unit in ("a", longer, "b")]
        answers = {answer.id: answer.error.message async for answer in vision.ClassifyStream(iter(asked))}
    assert answers == {"a": "", "u": told, "b": ""}  # it is wrong with one image of a stream alone


async def test_a_unit_that_is_no_utf8_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/classify", content=PNG, headers={b"X-Unit": "josé".encode("latin-1")})
    assert (answer.status_code, answer.json()["reason"]) == (422, "BAD_PARAMETER")
    assert answer.json()["detail"] == r"X-Unit is b'jos\xe9'; it must be UTF-8"


async def test_of_readouts_two_are_made_at_once_a_few_wait_and_more_are_told_to_come_back(
    served: Faces, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each joins the whole log: forty threads of them would leave nothing to those who answer images."""
    await _start(served, _trial())
    begun, go_on, lock, under_way, most = threading.Semaphore(0), threading.Event(), threading.Lock(), 0, 0
    of = Readouts.of

    def slow(readouts: Readouts, name: str) -> Readout:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        begun.release()
        go_on.wait(30)
        with lock:
            under_way -= 1
        return of(readouts, name)

    monkeypatch.setattr(Readouts, "of", slow)
    paths = ("/v1/experiments/trial", "/v1/experiments/trial/report")
    asked = {asyncio.create_task(client.get(paths[number % 2], timeout=60)) for number in range(12)}
    refused, waiting = await asyncio.wait(asked, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    while len(refused) < 2:
        more, waiting = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert more
        refused |= more
    for _ in range(2):
        assert await asyncio.to_thread(begun.acquire, timeout=10)
    go_on.set()
    assert [(task.result().status_code, task.result().json()["reason"]) for task in refused] == [(429, "BUSY")] * 2
    assert all(task.result().headers["Retry-After"] == "5" for task in refused)
    assert [(await task).status_code for task in waiting] == [200] * 10
    assert most == 2
    assert (await client.get(paths[0])).status_code == 200


async def test_who_hangs_up_while_a_readout_is_made_gives_its_place_to_nobody_before_it_is_done() -> None:
    go_on, lock, under_way, most = threading.Event(), threading.Lock(), 0, 0
    few = FewAtOnce()

    def read() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        go_on.wait(30)
        with lock:
            under_way -= 1

    for _ in range(6):
        asked = [asyncio.create_task(few.read(read)) for _ in range(2)]
        await asyncio.sleep(0.02)
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
    go_on.set()
    await few.read(read)
    assert most <= 2


async def test_an_answer_without_an_experiment_says_nothing_of_one(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/classify", content=PNG)).json()
    assert "experiment" not in answer
    assert "degraded" not in answer


async def test_the_readout_tells_what_was_met_and_what_to_do(served: Faces, client: httpx.AsyncClient) -> None:
    await _start(served, _trial())
    met = [(await _rest(client, f"user-{number}"))["arm"] for number in range(40)]
    for _ in range(100):
        said = (await client.get("/v1/experiments/trial")).json()
        if sum(arm["exposed"] for arm in said["seen"]) == 40:
            break
        await asyncio.sleep(0.05)
    assert {arm["name"]: arm["exposed"] for arm in said["seen"]} == {name: met.count(name) for name in set(met)}
    assert said["verdicts"][0]["word"] == "keep waiting"
    assert "the minimum sample is 100" in said["verdicts"][0]["why"]
    assert "Waudby-Smith" in said["methods"]["difference"]
    (listed,) = (await client.get("/v1/experiments")).json()["experiments"]
    assert (listed["name"], listed["state"], listed["model"]) == ("trial", "running", "m")
    page = await client.get("/v1/experiments/trial/report")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert "keep waiting" in page.text
    exposures = served.metrics.registry.get_sample_value(
        "fovea_experiment_exposures_total", {"experiment": "trial", "arm": met[0], "outcome": "answered"}
    )
    assert exposures == met.count(met[0])


async def test_events_count_for_the_arm_that_their_unit_meets(served: Faces, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/events", json={"name": "accepted", "unit": "user-0"})
    assert (answer.status_code, answer.json()) == (202, {"counted": False})
    await _start(served, _trial(primary_metric="event:accepted", minimum_sample=1))
    arms = [(await _rest(client, f"user-{number}"))["arm"] for number in range(20)]
    for number, arm in enumerate(arms):
        event = {"name": "accepted", "unit": f"user-{number}", "value": float(arm == "candidate")}
        assert (await client.post("/v1/events", json=event)).json() == {"counted": True}
    for _ in range(100):
        said = (await client.get("/v1/experiments/trial")).json()
        if sum(arm["observations"] for arm in said["seen"]) == 20:
            break
        await asyncio.sleep(0.05)
    assert {arm["name"]: (arm["observations"], arm["primary"]) for arm in said["seen"]} == {
        "control": (arms.count("control"), 0.0),
        "candidate": (arms.count("candidate"), 1.0),
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "name: "),
        ('{"name": "Bad Name", "unit": "u"}', "name: "),
        ('{"name": "a", "unit": ""}', "unit: "),
        (f'{{"name": "a", "unit": "{"u" * 256}"}}', "unit: "),
        ('{"name": "a", "unit": "u", "value": NaN}', "value: "),
        ('{"name": "a", "unit": "u", "value": 1e200}', "value: 1e+200 is not from -1,000,000,000 to 1,000,000,000"),
        (f'{{"name": "a", "unit": "u", "value": -1{"0" * 400}}}', "value: "),
        ('{"name": "a", "unit": "u", "worth": 1}', "worth: "),
        ("no json", "the body: "),
    ],
)
async def test_an_event_that_cannot_be_is_refused_with_the_field(
    client: httpx.AsyncClient, body: str, field: str
) -> None:
    answer = await client.post("/v1/events", content=body)
    assert (answer.status_code, answer.json()["reason"]) == (422, "BAD_PARAMETER")
    assert answer.json()["detail"].startswith(field)


async def test_an_experiment_that_nobody_knows_is_a_problem_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/experiments/nothing")
    assert answer.status_code == 404
    assert answer.json()["reason"] == "UNKNOWN_EXPERIMENT"


async def test_when_the_store_does_not_answer_images_are_answered_and_health_says_so(
    served: Faces, client: httpx.AsyncClient
) -> None:
    await _start(served, _trial())
    before = await _rest(client, "user-1")
    database = served.experiments.readouts.store.database
    file = next(served.state.glob("experiments.db"))
    database.close()
    for name in ("", "-wal", "-shm"):
        file.with_name(file.name + name).write_bytes(b"spoilt" * 2000)
    for _ in range(150):
        if "experiments" in (health := (await client.get("/healthz")).json()):
            break
        await asyncio.sleep(0.02)
    assert health["status"] == "alive"
    # Who asks has no key: the reason, which names the database, is in the log alone.
    assert health["experiments"] == "their store does not answer; the last known stay in force"
    assert served.experiments.fault not in (None, health["experiments"])
    assert await _rest(client, "user-1") == before
    answer = await client.get("/v1/experiments")
    assert (answer.status_code, answer.json()["reason"]) == (503, "EXPERIMENTS_UNAVAILABLE")
