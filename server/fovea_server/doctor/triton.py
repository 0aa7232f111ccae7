"""A running Triton: its version, what it leaves open, its statistics, and real load on it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import DataType

from fovea_server.doctor import statistics
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.statistics import Counts
from fovea_server.errors import StartError

_SERVICE = "/inference.GRPCInferenceService/"
_PATIENCE = 5.0  # seconds for an answer that needs no model
_ANSWER = 30.0  # seconds for an image
_FIXED_IN = (2, 59, 1)  # of the container 25.07
_CVES = "CVE-2025-23319, CVE-2025-23320 and CVE-2025-23334"


@dataclass(frozen=True)
class Target:
    """What load is sent to: a model that takes one encoded image, by its input's name and type."""

    model: str
    tensor: str
    kind: int
    batched: bool


@dataclass(frozen=True)
class Sent:
    """What became of the load on a model: seconds it took, images that were answered, and the others by what was
    said."""

    model: str
    seconds: float
    answered: int
    failed: dict[str, int] = field(default_factory=dict)


class Triton:
    """One channel to Triton's gRPC port. Raises StartError where nothing answers there."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),))

    async def close(self) -> None:
        await self._channel.close()

    async def version(self) -> str:
        return str((await self._ask("ServerMetadata")).version)

    async def counts(self) -> dict[str, Counts]:
        return statistics.read(await self._ask("ModelStatistics"))

    async def config(self, model: str) -> Any:
        return (await self._ask("ModelConfig", name=model)).config

    async def open_apis(self) -> list[str]:
        """Of the two that reach files and memory of its machine, those that answer anybody."""
        apis = {"shared-memory": "SystemSharedMemoryStatus", "model-repository": "RepositoryIndex"}
        return [api for api, method in apis.items() if await self._answers(method)]

    async def load(self, target: Target, images: Sequence[bytes], callers: int, seconds: float) -> Sent:
        """Keep `callers` requests of one image each under way for `seconds`."""
        infer = self._channel.unary_unary(f"{_SERVICE}ModelInfer")
        requests = itertools.cycle([_request(target, image) for image in images])
        began = time.monotonic()
        answered, failed = 0, dict[str, int]()

        async def call() -> None:
            nonlocal answered
            while time.monotonic() - began < seconds:
                try:
                    await infer(next(requests), timeout=_ANSWER)
                    answered += 1
                except grpc.aio.AioRpcError as error:
                    said = (error.details() or error.code().name).splitlines()[0][:120]
                    failed[said] = failed.get(said, 0) + 1

        await asyncio.gather(*(call() for _ in range(callers)))
        return Sent(target.model, round(time.monotonic() - began, 2), answered, failed)

    async def _ask(self, method: str, **fields: Any) -> Any:
        try:
            return await self._method(method)(_message(method, "Request")(**fields), timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise StartError(
                f"Triton does not answer on {self._address}: {error.details() or error.code().name}",
                hint="start it, or give the port of its gRPC face with --triton",
            ) from None

    async def _answers(self, method: str) -> bool:
        try:
            await self._method(method)(_message(method, "Request")(), timeout=_PATIENCE)
        except grpc.aio.AioRpcError:
            return False
        return True

    def _method(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = self._channel.unary_unary(
            _SERVICE + name,
            request_serializer=_message(name, "Request").SerializeToString,
            response_deserializer=_message(name, "Response").FromString,
        )
        return method


def target_of(config: Any) -> Target | None:
    """How one encoded image is sent to a model of this configuration; None where it takes something else."""
    inputs = [each for each in config.input if not each.optional]
    if len(inputs) != 1:
        return None
    (only,) = inputs
    dims, batched = list(only.dims), config.max_batch_size > 0
    if (only.data_type, dims) in ((DataType.TYPE_UINT8, [-1]), (DataType.TYPE_STRING, [1])):
        return Target(config.name, only.name, only.data_type, batched)
    return None


def exposed(version: str, open_apis: Sequence[str], address: str) -> Iterator[Finding]:
    """Known holes of this version that are open to whoever reaches the port."""
    if not open_apis or _numbers(version) >= _FIXED_IN:
        return
    yield Finding(
        "error",
        "open-to-known-holes",
        "(all)",
        address,
        f"Triton {version} answers anybody's {' and '.join(open_apis)} requests",
        f"Versions before 2.59.1 (container 25.07) have {_CVES}: through shared memory a stranger takes over the "
        "processes of Python models.",
        (
            "use container 25.07 or newer, or start tritonserver with",
            "--grpc-restricted-protocol=shared-memory,model-repository:admin=SECRET",
            "--http-restricted-api=shared-memory,model-repository:admin=SECRET",
        ),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _message(method: str, kind: str) -> Any:
    return getattr(service_pb2, f"{method}{kind}")


def _request(target: Target, image: bytes) -> bytes:
    strings = target.kind == DataType.TYPE_STRING
    shape = [1 if strings else len(image)]
    tensor = service_pb2.ModelInferRequest.InferInputTensor(
        name=target.tensor,
        datatype="BYTES" if strings else "UINT8",
        shape=[1, *shape] if target.batched else shape,
    )
    content = len(image).to_bytes(4, "little") + image if strings else image
    request = service_pb2.ModelInferRequest(model_name=target.model, inputs=[tensor], raw_input_contents=[content])
    return bytes(request.SerializeToString())
