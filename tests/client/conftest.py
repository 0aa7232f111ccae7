"""What the tests of the client share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.client.callers import CLIENTS


@pytest.fixture(params=CLIENTS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of one of the four clients."""
    return str(request.param)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections: bound, so that no one else gets it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"
