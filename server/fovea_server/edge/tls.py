"""TLS for both faces from PEM files, which may be replaced while the server runs."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc

from fovea_server.errors import StartError
from fovea_server.logs import get_logger

_log = get_logger("tls")
_LOOK_AGAIN = 1.0  # seconds between two looks at the files


@dataclass(frozen=True)
class TlsSettings:
    """PEM files: a certificate chain, its private key and, where callers must show one too, who signs theirs."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


@dataclass(frozen=True)
class _Loaded:
    context: ssl.SSLContext  # REST
    configuration: Any  # gRPC: grpc.ServerCertificateConfiguration


class Certificates:
    """What is in the files now. Looked at when somebody connects, at most once a second, from any thread.

    Files that cannot be used, or that do not yet belong together, change nothing, and are logged.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Raises StartError, naming the file and what is wrong with it."""
        self._settings = settings
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._signature = _signature(settings)
        self._loaded = _load(settings)
        self._complaint = ""

    def for_rest(self) -> ssl.SSLContext:
        """A context that takes each connection to the newest certificate, and to whom it trusts."""
        entrance = _load(self._settings).context
        # Called in every handshake, whether or not the caller names a server.
        entrance.sni_callback = self._enter
        return entrance

    def for_grpc(self) -> Any:
        """Server credentials that ask for the newest certificate in each handshake."""
        given = self._loaded.configuration

        def newest() -> Any:
            nonlocal given
            now = self._newest().configuration
            if now is given:
                return None  # the same as before
            given = now
            return now

        return grpc.dynamic_ssl_server_credentials(given, newest, self._settings.client_ca is not None)

    def _enter(self, connection: ssl.SSLObject, _name: str | None, _entrance: ssl.SSLContext) -> None:
        connection.context = self._newest().context

    def _newest(self) -> _Loaded:
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_AGAIN:
                self._looked = time.monotonic()
                self._look()
            return self._loaded

    def _look(self) -> None:
        try:
            signature = _signature(self._settings)
            if signature == self._signature:
                return
            loaded = _load(self._settings)
            if signature != _signature(self._settings):
                return  # they are being replaced at this moment: look again
        except StartError as error:
            if str(error) != self._complaint:
                _log.error("the certificate stays as it was", reason=str(error))
            self._complaint = str(error)
        else:
            self._loaded, self._signature, self._complaint = loaded, signature, ""
            _log.info("certificate read again", file=str(self._settings.certificate))


def _signature(settings: TlsSettings) -> list[tuple[int, int, int]]:
    """What changes when one of the files does."""
    try:
        said = [path.stat() for path in settings.files]
    except OSError as error:
        _refuse(f"{error.filename} cannot be read: {error.strerror}")
    return [(each.st_ino, each.st_mtime_ns, each.st_size) for each in said]


def _load(settings: TlsSettings) -> _Loaded:
    chain, key = _pem(settings.certificate, "CERTIFICATE"), _pem(settings.key, "PRIVATE KEY")
    clients = None if settings.client_ca is None else _pem(settings.client_ca, "CERTIFICATE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _use_chain(context, settings)
    if clients is not None:
        _use_client_ca(context, settings.client_ca, clients)
    return _Loaded(context, grpc.ssl_server_certificate_configuration([(key, chain)], clients))


def _pem(path: Path, kind: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror}")
    if f"{kind}-----".encode() not in content:
        _refuse(f"{path} holds no {kind.lower()} in PEM (no line `-----BEGIN {kind}-----`)")
    return content


def _use_chain(context: ssl.SSLContext, settings: TlsSettings) -> None:
    # Without this, OpenSSL asks the terminal for the password of a key that has one.
    def no_password() -> str:
        _refuse(f"{settings.key} is encrypted; write it without a password: openssl pkey -in {settings.key.name}")

    _check_certificates(settings.certificate)
    try:
        context.load_cert_chain(settings.certificate, settings.key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            _refuse(f"{settings.key} is not the key of {settings.certificate}")
        _refuse(f"{settings.key} cannot be used as a key: {error.reason or error}")


def _use_client_ca(context: ssl.SSLContext, path: Path | None, content: bytes) -> None:
    _check_certificates(path)
    context.load_verify_locations(cadata=content.decode("ascii", "replace"))
    context.verify_mode = ssl.CERT_REQUIRED
    # A session that is taken up again is not verified again, though its signer may be trusted no more. Without tickets
    # TLS 1.3 takes up none.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0


def _check_certificates(path: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except ssl.SSLError as error:
        _refuse(f"{path} cannot be used as a certificate: {error.reason or error}")


def _refuse(what: str) -> NoReturn:
    raise StartError(what, hint="--tls-certificate and --tls-key, and --tls-client-ca for callers, are PEM files")
