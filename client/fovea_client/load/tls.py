"""TLS for a load: whom to trust, what to show, and what it means where no connection comes about."""

from __future__ import annotations

import ssl

from fovea_client import credentials
from fovea_client.load.errors import LoadFailed


def context(
    ca_file: credentials.Pem | None, client_certificate: tuple[credentials.Pem, credentials.Pem] | None
) -> ssl.SSLContext:
    """Raises OSError for what are no PEM files."""
    given = credentials.tls_context(ca_file, client_certificate)
    return ssl.create_default_context() if isinstance(given, bool) else given


def unreachable(address: str, error: OSError, hint: str, *, encrypted: bool) -> LoadFailed:
    """What to say of a connection that failed; the `hint` is for where nobody listens."""
    if isinstance(error, ssl.SSLCertVerificationError):
        trust = "name who signed it with --ca-file, and the server as its certificate does"
        return LoadFailed(f"the certificate of {address} is not trusted: {error.verify_message}", trust)
    if isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).replace("_", " ").lower()
    elif encrypted and isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
        why = "it hung up"
    else:
        return LoadFailed(f"nothing answers on {address}", hint)
    return LoadFailed(
        f"TLS with {address} failed: {why}", "does it speak TLS, and does it ask for --client-certificate?"
    )
