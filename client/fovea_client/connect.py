"""A client for an address, whatever the protocol in it."""

from __future__ import annotations

from fovea_client.rest import Client
from fovea_client.rpc import GrpcClient


def connect(url: str, *, retries: int = 3) -> Client | GrpcClient:
    """A client for http://HOST:PORT, https://HOST or grpc://HOST:PORT. Connects when first used."""
    scheme, _, address = url.partition("://")
    if scheme in ("http", "https") and address:
        return Client(url, retries=retries)
    if scheme == "grpc" and address:
        return GrpcClient(address.rstrip("/"), retries=retries)
    raise ValueError(f"{url!r} is not an address: use http://HOST:PORT, https://HOST or grpc://HOST:PORT")
