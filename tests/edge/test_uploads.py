"""What stands around an image costs next to nothing, whatever it is."""

from __future__ import annotations

import tracemalloc

import httpx
from tests.edge.faces import faces


async def test_json_of_very_many_values_is_refused_and_costs_no_memory() -> None:
    many = b'{"image": [' + b"[]," * 1_000_000 + b"0]}"
    async with faces() as served, httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.rest_port}") as client:
        tracemalloc.start()
        try:
            json = {"Content-Type": "application/json"}
            problem = (await client.post("/v1/classify", content=many, headers=json)).json()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert problem["reason"] == "MALFORMED_REQUEST"
    assert "the JSON has 1,000,000 commas" in problem["detail"]
    assert peak < 30_000_000  # reading it would take 64 MB, and this end of the wire holds 3
