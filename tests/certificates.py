"""Certificates for tests, made by openssl: an authority, and what it signs for this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Signed:
    certificate: Path
    key: Path


def authority(folder: Path, name: str) -> Signed:
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *_new_key(made), "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")
    return made


def signed(by: Signed, folder: Path, name: str) -> Signed:
    """A certificate for 127.0.0.1 and localhost, good for a server and for a caller."""
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    signer = ("-CA", str(by.certificate), "-CAkey", str(by.key))
    addresses = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    _openssl("req", "-x509", *signer, *_new_key(made), "-subj", f"/CN={name}", "-addext", addresses)
    return made


def encrypted(key: Path) -> Path:
    made = key.with_suffix(".locked")
    _openssl("pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(made))
    return made


def _new_key(made: Signed) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
    return (*curve, "-keyout", str(made.key), "-out", str(made.certificate))


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
