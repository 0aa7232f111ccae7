"""Fetch published weights into the folders where torch.hub and the Hugging Face hub keep them."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from fovea_pipelines.adding.pytorch.libraries import library, torch
from fovea_pipelines.errors import BadNetwork

_SILENCE = 15.0  # seconds a server may say nothing
_GIVE_THE_FILE = "give the file with --weights"


def from_url(url: str, file_name: str | None = None) -> Path:
    """The file at a URL, in torch.hub's folder, whose digest begins as its name says, if it says so.

    Raises BadNetwork where it cannot be fetched or its digest is another.
    """
    hub = torch().hub
    name = file_name or Path(urlparse(url).path).name
    path = Path(hub.get_dir(), "checkpoints", name)
    declared = hub.HASH_REGEX.search(name)
    prefix = declared.group(1) if declared else ""
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _bounded():
                hub.download_url_to_file(url, str(path), prefix or None, progress=False)
        except (OSError, RuntimeError) as error:  # RuntimeError is a digest that differs
            raise _unfetched(url, error) from error
    elif not _digest(path).startswith(prefix):
        raise BadNetwork(f"{path} is damaged: its SHA-256 does not begin with {prefix}", hint="delete it, or rename it")
    return path


def from_hugging_face(repository: str, names: Sequence[str]) -> Path:
    """The first file of these names that the repository ("owner/name@revision") has, in the hub's own cache.

    Raises BadNetwork where there is none or it cannot be fetched.
    """
    hub = library("huggingface_hub")
    repository, _, revision = repository.partition("@")
    kept = (hub.try_to_load_from_cache(repository, name, revision=revision or None) for name in names)
    if path := next((found for found in kept if isinstance(found, str)), None):
        return Path(path)
    for name in names:
        if _exists(hub.hf_hub_url(repository, name, revision=revision or None)):
            try:
                return Path(hub.hf_hub_download(repository, name, revision=revision or None, etag_timeout=_SILENCE))
            except Exception as error:  # of whatever kind its HTTP client has
                raise _unfetched(f"{repository}/{name}", error) from error
    raise BadNetwork(f"{repository} has none of {', '.join(names)}", hint=_GIVE_THE_FILE)


def _exists(url: str) -> bool:
    """Asked here, once: the hub's own library asks six times, for half a minute, before it says there is no network."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SILENCE):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise _unfetched(url, error) from error
    except OSError as error:
        raise _unfetched(url, error) from error


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """torch.hub gives its connections no time-out; this is what they then have."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unfetched(what: str, error: Any) -> BadNetwork:
    reason = str(getattr(error, "reason", None) or error) or type(error).__name__
    return BadNetwork(f"{what} cannot be fetched: {reason.splitlines()[0]}", hint=_GIVE_THE_FILE)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
