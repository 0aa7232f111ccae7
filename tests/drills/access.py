"""Every route and method with every kind of key, and Triton's own ports: `python -m tests.drills.access`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import tritonclient.grpc
import tritonclient.http
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, none_of
from tests.drills.harness.running import main
from tests.e2e.served import Served
from tests.edge.who_may import METHODS, ROUTES, WHO, Keys, expected, make_keys
from tritonclient.utils import InferenceServerException

from fovea_server.access.keys import Scope
from fovea_server.edge import scopes

_CODES = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
_CLOSED: dict[str, Callable[[Any], Any]] = {
    "load a model": lambda client: client.load_model("preprocess_224"),
    "unload a model": lambda client: client.unload_model("preprocess_224"),
    "list the repository": lambda client: client.get_model_repository_index(),
    "register shared memory": lambda client: client.register_system_shared_memory("x", "/x", 16),
    "register CUDA shared memory": lambda client: client.register_cuda_shared_memory("x", b"", 0, 16),
    "see shared memory": lambda client: client.get_system_shared_memory_status(),
    "trace into a file": lambda client: client.update_trace_settings(settings={"trace_file": "/dev/null"}),
    "log into a file": lambda client: client.update_log_settings({"log_file": "/dev/null"}),
}


def run(bench: Bench) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        texts = make_keys(Path(folder))
        server = bench.another("--require-keys", f"--state={folder}")
        rest, asked = _rest(server, texts)
        calls, called = asyncio.run(_grpc(server, texts))
        triton = _triton(server)
    bench.note(rest_requests=asked, grpc_calls=called, triton_calls=2 * len(_CLOSED))
    return [
        none_of("REST answers that are not exactly what the key is good for", rest),
        none_of("gRPC answers that are not exactly what the key is good for", calls),
        none_of("doors of Triton that open without its key", triton),
    ]


def _rest(server: Served, texts: Keys) -> tuple[Counter[str], int]:
    """What was answered wrongly, and how many requests there were."""
    wrong: Counter[str] = Counter()
    asked = [(*route, who) for route in [*ROUTES, ("GET", "/healthz"), ("GET", "/readyz")] for who in WHO]
    with httpx.Client(timeout=30) as client:
        for method, path, who in asked:
            headers = {} if who == "nobody" else {"Authorization": f"Bearer {texts[who]}"}
            status = client.request(method, server.url + path, headers=headers).status_code
            wanted = 200 if path in scopes.OPEN_PATHS else expected(who, scopes.of_path(path))
            if (status if status in (401, 403) else 200) != wanted or status >= 500:
                wrong[f"{method} {path} by {who}: {status}"] += 1
    return wrong, len(asked)


async def _grpc(server: Served, texts: Keys) -> tuple[Counter[str], int]:
    wrong: Counter[str] = Counter()
    asked = [(name, who) for name in METHODS for who in WHO]
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        for name, who in asked:
            sent = () if who == "nobody" else (("authorization", f"Bearer {texts[who]}"),)
            code = grpc.StatusCode.OK
            try:
                await METHODS[name](channel, sent)
            except grpc.aio.AioRpcError as error:
                code = error.code()
            if _CODES.get(code, 200) != expected(who, Scope.INFER):
                wrong[f"{name} by {who}: {code.name}"] += 1
    return wrong, len(asked)


def _triton(server: Served) -> Counter[str]:
    opened: Counter[str] = Counter()
    for face, client in (
        ("gRPC", tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.triton_port}")),
        ("HTTP", tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.triton_http_port}")),
    ):
        for what, ask in _CLOSED.items():
            try:
                ask(client)
            except InferenceServerException as error:
                if "restricted" in str(error).lower():
                    continue
            opened[f"{what} over {face}"] += 1
        client.close()
    return opened


DRILL = Drill(
    name="access",
    promise="Every route with no key, a wrong, a revoked, the right one and one of another scope: exactly 401, 403 or "
    "an answer; Triton's ports refuse what reaches files and memory.",
    run=run,
    twin="tests/edge/test_access.py",
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
