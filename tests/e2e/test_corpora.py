"""Odd and hostile files: each gets a typed answer, no process dies, and good ones beside them are answered rightly."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.callers import over_rest
from tests.e2e.served import Served

_TYPED = {None, "EMPTY_BODY", "NOT_AN_IMAGE", "FORMAT_NOT_SERVED", "UNDECODABLE", "TOO_MANY_PIXELS", "TOO_MANY_BYTES"}


async def test_hostile_files_among_good_ones_are_told_what_they_are_and_hurt_nobody(
    server: Served, corpora: list[Path], espresso: bytes
) -> None:
    before = server.triton()
    processes = {before.pid, *(child.pid for child in before.children())}
    odd = [path.read_bytes() for path in corpora]
    mixed = [content for at in range(0, len(odd), 4) for content in (espresso, *odd[at : at + 4])]
    outcomes = await over_rest(server, mixed, concurrency=16)
    assert {outcome.reason for outcome in outcomes} <= _TYPED
    assert all(outcome.labels[:1] == (967,) for outcome in outcomes[::5])
    after = server.triton()
    assert {after.pid, *(child.pid for child in after.children())} == processes
    assert server.is_ready()
