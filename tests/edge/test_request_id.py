"""Every answer over REST repeats the request's id, or has one of ours."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.edge.faces import faces
from tests.edge.who_may import ROUTES

from fovea_server.access.guard import Guard
from fovea_server.access.key_file import KeyFile


@pytest.mark.parametrize("guarded", [False, True])
async def test_every_route_repeats_the_id_it_was_given(tmp_path: Path, guarded: bool) -> None:
    async with faces(Guard(KeyFile(tmp_path)) if guarded else None) as served, httpx.AsyncClient() as client:
        for method, path in [*ROUTES, ("GET", "/healthz"), ("GET", "/readyz")]:
            answer = await client.request(method, served.rest + path, headers={"X-Request-ID": "mine-1"})
            assert answer.headers.get_list("X-Request-ID") == ["mine-1"], f"{method} {path}"


@pytest.mark.parametrize("unfit", [None, "", "a b", "x" * 129, "a;b"])
async def test_one_that_is_not_fit_to_be_repeated_is_replaced(unfit: str | None) -> None:
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        answer = await client.get("/v1/models", headers={} if unfit is None else {"X-Request-ID": unfit})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
