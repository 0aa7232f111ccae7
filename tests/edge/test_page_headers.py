"""What browsers are told of pages: to load nothing from elsewhere, let nobody frame them, and guess no types."""

from __future__ import annotations

import re

import httpx
import pytest
from tests.edge.faces import faces


def _allowed(policy: str) -> dict[str, set[str]]:
    """Of a Content-Security-Policy: what each directive allows."""
    return {words[0]: set(words[1:]) for words in (part.split() for part in policy.split(";"))}


@pytest.mark.parametrize(
    "path", ["/docs", "/live", "/openapi.json", "/metrics", "/v1/models", "/static-offline-docs/favicon.png"]
)
async def test_whatever_a_browser_may_show_is_hardened(path: str) -> None:
    async with faces() as opened, httpx.AsyncClient(base_url=opened.rest) as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    allowed = _allowed(answer.headers["Content-Security-Policy"])
    assert allowed["frame-ancestors"] == {"'none'"}
    assert not any("http" in source or source == "*" for sources in allowed.values() for source in sources)


async def test_the_docs_load_nothing_but_from_this_server() -> None:
    async with faces() as opened, httpx.AsyncClient(base_url=opened.rest) as client:
        page = (await client.get("/docs")).text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(loaded) == 3
        answers = [await client.get(each) for each in loaded]
    assert [each.status_code for each in answers] == [200, 200, 200]
