"""API keys: what they look like, what is kept of them, and when one is good.

A key is `fovea_<public id>_<secret>`. The public id names it in lists, quotas and logs; the secret is 256 random bits.
Of the secret only its SHA-256 (FIPS 180-4) is kept. A slow hash such as scrypt or Argon2 is for passwords, which people
choose and others guess; 256 random bits are found no faster through a fast hash, and each request pays for a slow one.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

from fovea_server.domain import Caller

PREFIX = "fovea_"
_SHAPE = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_([0-9a-f]{{64}})\Z")


class Scope(str, enum.Enum):
    """What a key may be used for. None contains another: a key is given each that it needs."""

    INFER = "infer"
    ADMIN = "admin"
    READ_LOG = "read-log"


@dataclass(frozen=True)
class Key:
    """What is kept of a key. `digest` is the SHA-256 of its secret in hexadecimal; times are Unix seconds."""

    id: str
    name: str
    digest: str
    scopes: frozenset[str]
    created: float
    expires: float | None = None
    revoked: float | None = None
    requests_per_second: float | None = None
    megapixels_per_second: float | None = None

    def belongs_to(self, secret: str) -> bool:
        """Whether this is its secret; takes the same time for every wrong one."""
        return hmac.compare_digest(_digest(secret), self.digest)

    def is_good(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    @property
    def caller(self) -> Caller:
        return Caller(self.id, self.scopes, self.requests_per_second, self.megapixels_per_second)


def make(
    name: str,
    scopes: frozenset[str],
    *,
    seconds: float | None = None,
    requests_per_second: float | None = None,
    megapixels_per_second: float | None = None,
) -> tuple[Key, str]:
    """A new key, good for so many `seconds`, and the text that its holder sends: the only time that it is there."""
    identity, secret, now = secrets.token_hex(6), secrets.token_hex(32), time.time()
    key = Key(
        id=identity,
        name=name,
        digest=_digest(secret),
        scopes=scopes,
        created=now,
        expires=None if seconds is None else now + seconds,
        requests_per_second=requests_per_second,
        megapixels_per_second=megapixels_per_second,
    )
    return key, f"{PREFIX}{identity}_{secret}"


def parts(text: str) -> tuple[str, str] | None:
    """The public id and the secret of what was sent as a key; None where it has not the shape of one."""
    match = _SHAPE.match(text)
    return (match[1], match[2]) if match else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
