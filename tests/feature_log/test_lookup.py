"""Look-ups of one image: a few at a time, whoever waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from tests.feature_log.made_up import record, write

from fovea_server.errors import FeatureLogUnavailable, NoSuchImage
from fovea_server.feature_log.lookup import Lookup
from fovea_server.feature_log.places import Places

_DIGEST = "ab" * 32  # of every record that is made up


@contextmanager
def _hanging(lookup: Lookup) -> Iterator[None]:
    """The disk that it reads hangs until the block ends; then everything is read that was asked for."""
    read, is_back = lookup._read, threading.Event()

    def late(digest: str, as_of: datetime | None) -> list[dict[str, Any]]:
        assert is_back.wait(60)
        return read(digest, as_of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "_read", late)
        try:
            yield
        finally:
            is_back.set()


async def test_who_hangs_up_leaves_no_thread_to_the_next(where: Places) -> None:
    write(where, [record("a")])
    lookup = Lookup(where)
    assert [each["id"] for each in await lookup.features(_DIGEST)] == ["a"]
    with _hanging(lookup):
        for _ in range(60):
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(lookup.features(_DIGEST), 0.01)
        await asyncio.wait_for(asyncio.to_thread(lambda: None), 10)  # a thread for somebody else is free
    assert [each["id"] for each in await asyncio.wait_for(lookup.features(_DIGEST), 10)] == ["a"]


async def test_more_than_may_wait_are_refused(where: Places) -> None:
    write(where, [record("a")])
    lookup = Lookup(where)
    with _hanging(lookup):
        asked = [asyncio.create_task(lookup.features(_DIGEST)) for _ in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(FeatureLogUnavailable, match="32 look-ups wait already"):
            await lookup.features(_DIGEST)
    assert all(rows[0]["id"] == "a" for rows in await asyncio.wait_for(asyncio.gather(*asked), 30))


async def test_an_image_that_nobody_sent_is_said_to_be_unknown(where: Places) -> None:
    write(where, [record("a")])
    with pytest.raises(NoSuchImage, match="cd" * 32):
        await Lookup(where).features("cd" * 32)
