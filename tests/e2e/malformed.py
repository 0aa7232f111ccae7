"""Send what no client would: what the OpenAPI document's fuzzer thinks of, and protobufs that are none."""

from __future__ import annotations

import functools
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import grpc
from google.rpc import error_details_pb2, status_pb2
from tests.e2e.served import Served

from fovea_client.wire import vision_pb2
from fovea_server.edge.grpc_servicer import NAME

_METHODS = ("Classify", "Analyze", "ListModels", "GiveFeedback")  # and ClassifyStream
_Call = Callable[[bytes], object]
_CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


def schemathesis(server: Served, examples: int) -> tuple[int, str]:
    """How many requests were made of the OpenAPI document, so many examples a path, and what was wrong with answers."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
        *(f"--checks={','.join(_CHECKS)}", "--phases=coverage,fuzzing", f"--max-examples={examples}", "--seed=1"),
        # A time-out of a nanosecond is well-formed, and 504 the right answer to it.
        *("--header=X-Request-Timeout: 20", "--generation-database=none", "--no-color"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r"(\d+) generated", run.stdout)
    return int(found[1]) if found else 0, run.stdout[-5000:] + run.stderr[-1000:] if run.returncode else ""


def protobufs(server: Served, image: bytes, seconds: float) -> Counter[tuple[str, str]]:
    """Messages that are random or damaged, for so long: how many got each code and reason."""
    until, outcomes = time.monotonic() + seconds, Counter[tuple[str, str]]()
    with grpc.insecure_channel(server.grpc) as channel:
        calls = list(_calls(channel))
        for message in _messages(image):
            outcomes.update(_outcome(call, message) for call in calls)
            if time.monotonic() > until:
                return outcomes
    raise AssertionError("there are always more messages")


def reason(error: grpc.RpcError) -> str:
    """The ErrorInfo's reason; "" where there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.ErrorInfo()
            assert status_pb2.Status.FromString(value).details[0].Unpack(info)
            return str(info.reason)
    return ""


def _calls(channel: grpc.Channel) -> Iterator[_Call]:
    """Of one message each."""
    for method in _METHODS:
        yield functools.partial(channel.unary_unary(f"/{NAME}/{method}", bytes, bytes), timeout=20)
    stream = channel.stream_stream(f"/{NAME}/ClassifyStream", bytes, bytes)
    yield lambda message: list(stream(iter((message,)), timeout=20))


def _outcome(call: _Call, message: bytes) -> tuple[str, str]:
    try:
        call(message)
    except grpc.RpcError as error:
        return error.code().name, reason(error)
    return "OK", ""


def _messages(image: bytes) -> Iterator[bytes]:
    """Random bytes, and sound messages with a few bytes changed, lost or added."""
    chance = random.Random(1)  # noqa: S311  (the same each time)
    sound = [
        vision_pb2.ClassifyRequest(image=image[:2000], top_k=3, embedding=True, request_id="id").SerializeToString(),
        vision_pb2.AnalyzeRequest(image=image[:200], models=["efficientnet_lite0"]).SerializeToString(),
        vision_pb2.GiveFeedbackRequest(feedback=[vision_pb2.Feedback(id="id", label="cup")] * 3).SerializeToString(),
    ]
    while True:
        yield chance.randbytes(chance.randint(0, 60))
        changed = bytearray(chance.choice(sound))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(min(len(changed), 40))
            changed[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        yield bytes(changed)
