"""What a client shows a server, its API key and its certificate, and whom it trusts."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

VARIABLE = "FOVEA_API_KEY"
Pem = str | Path


def authorization(api_key: str | None) -> dict[str, str]:
    """The header, or the metadata, that shows the key: the one given, else FOVEA_API_KEY's, else nothing.

    Raises ValueError for what cannot stand in a header; the message does not repeat it.
    """
    key = (os.environ.get(VARIABLE, "") if api_key is None else api_key).strip()
    if not key:
        return {}
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("the API key has characters that no key has; it looks like fovea_<public id>_<secret>")
    return {"authorization": f"Bearer {key}"}


def tls_context(ca_file: Pem | None, client_certificate: tuple[Pem, Pem] | None) -> ssl.SSLContext | bool:
    """For httpx: whom to trust, and the certificate and key to show; True trusts the usual authorities."""
    if ca_file is None and client_certificate is None:
        return True
    context = ssl.create_default_context(cafile=ca_file)
    if client_certificate is not None:
        context.load_cert_chain(*client_certificate)
    return context


def grpc_credentials(ca_file: Pem | None, client_certificate: tuple[Pem, Pem] | None) -> grpc.ChannelCredentials:
    """The same for gRPC; without a CA file it trusts the authorities that gRPC brings along."""
    import grpc

    certificate, key = (_read(path) for path in client_certificate or (None, None))
    return grpc.ssl_channel_credentials(_read(ca_file), key, certificate)


def _read(path: Pem | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
