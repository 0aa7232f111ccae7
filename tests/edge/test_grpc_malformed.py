"""Messages that are no protobuf are refused with a type, and counted as on REST."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from tests.edge.faces import faces

from fovea_server.edge.grpc_servicer import NAME


async def test_messages_that_are_no_protobuf_are_refused_and_counted() -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as one:
            await channel.unary_unary(f"/{NAME}/Classify")(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as several:
            await channel.stream_stream(f"/{NAME}/ClassifyStream")(iter([b"\xff\xff"])).read()
        assert one.value.code() is several.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert served.refusals("MALFORMED_REQUEST") == 2
