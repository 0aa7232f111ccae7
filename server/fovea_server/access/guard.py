"""Tell from a key who is asking, and whether they may."""

from __future__ import annotations

import time
from contextvars import ContextVar

from fovea_server.access.key_file import BadKeyFile, KeyFile
from fovea_server.access.keys import PREFIX, Key, Scope, parts
from fovea_server.domain import ANYONE, Caller
from fovea_server.errors import PermissionDenied, Unauthenticated
from fovea_server.logs import get_logger

_log = get_logger("access")
_LOOK_AGAIN = 1.0  # seconds between two looks at the file

# Who asks what is being answered; each face sets it before anything reads the request.
current: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


class Guard:
    """The keys as they are now. A change of the file, by whatever process, is seen at most a second later.

    A file that cannot be read any more changes nothing, and is logged; one that is gone takes all keys with it.
    """

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._signature = file.signature()
        self._keys = file.read()
        self._looked = time.monotonic()

    @property
    def good_keys(self) -> list[Key]:
        now = time.time()
        return [key for key in self._keys.values() if key.is_good(now)]

    def caller_of(self, authorization: str | None, x_api_key: str | None, scope: Scope | None) -> Caller:
        """Who asks, by `Authorization: Bearer KEY` or else `X-API-Key: KEY`; scope None is content with any good key.

        Raises Unauthenticated for no key, or one that is not good; PermissionDenied where it lacks the scope.
        """
        self._look()
        key = self._key(_sent(authorization, x_api_key))
        if scope is not None and scope.value not in key.scopes:
            has = ", ".join(sorted(key.scopes)) or "none"
            raise PermissionDenied(f"this needs a key with the scope {scope.value}; {key.id} has: {has}")
        return key.caller

    def _key(self, text: str) -> Key:
        """The good key of that text. Why one is not good is told only to who has its secret."""
        identity, secret = parts(text) or ("", "")
        key = self._keys.get(identity)
        if key is None or not key.belongs_to(secret):
            raise Unauthenticated("this API key is not known here; ask whoever runs the server for one")
        if key.revoked is not None:
            raise Unauthenticated(f"the API key {key.id} was revoked; ask for a new one")
        if not key.is_good(time.time()):
            raise Unauthenticated(f"the API key {key.id} has expired; ask for a new one")
        return key

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_AGAIN:
            return
        self._looked = now
        try:
            signature = self._file.signature()
            if signature == self._signature:
                return
            # Even of one that cannot be read, so that it is logged once; mended, it has another.
            self._signature = signature
            self._keys = self._file.read()
        except BadKeyFile as error:
            _log.error("the keys stay as they were", reason=str(error))
        else:
            _log.info("keys read again", good=len(self.good_keys))


def _sent(authorization: str | None, x_api_key: str | None) -> str:
    if authorization is not None:
        scheme, _, text = authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            return text.strip()
        if x_api_key is None:
            raise Unauthenticated(f"Authorization is not a Bearer token; send `Authorization: Bearer {PREFIX}…`")
    if x_api_key is None:
        raise Unauthenticated(f"no API key was sent; send `Authorization: Bearer {PREFIX}…` or `X-API-Key: {PREFIX}…`")
    return x_api_key.strip()
