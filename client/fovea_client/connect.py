"""A client for an address, whatever the protocol in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fovea_client.credentials import Pem
    from fovea_client.rest import Client
    from fovea_client.rpc import GrpcClient


def connect(
    url: str,
    *,
    retries: int = 3,
    api_key: str | None = None,
    ca_file: Pem | None = None,
    client_certificate: tuple[Pem, Pem] | None = None,
) -> Client | GrpcClient:
    """A client for http(s)://HOST:PORT, grpc://HOST:PORT or, with TLS, grpcs://HOST:PORT. Connects when first used.

    The rest is as in the clients themselves.
    """
    scheme, _, address = url.partition("://")
    client: type[Client | GrpcClient]
    if scheme in ("http", "https") and address:
        from fovea_client.rest import Client

        client = Client
    elif scheme in ("grpc", "grpcs") and address:
        from fovea_client.rpc import GrpcClient

        client = GrpcClient
    else:
        raise ValueError(f"{url!r} is not an address: use http(s)://HOST:PORT, grpc://HOST:PORT or grpcs://HOST:PORT")
    return client(url, retries=retries, api_key=api_key, ca_file=ca_file, client_certificate=client_certificate)
