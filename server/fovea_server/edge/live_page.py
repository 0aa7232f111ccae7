"""The page of a running server: what /metrics says, drawn by the browser that looks at it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

PAGE = Path(__file__).with_name("live.html").read_text(encoding="utf-8")


def _hash_of(tag: str) -> str:
    """Of what stands between the tags, as Content Security Policy Level 3 (W3C) names inline content."""
    inline = re.search(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    assert inline, tag
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash_of('style')}; script-src {_hash_of('script')}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add(app: FastAPI) -> None:
    @app.head("/live", include_in_schema=False)
    @app.get("/live", include_in_schema=False)
    async def live() -> Response:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})
