"""Get the image out of a REST request: raw bytes, a multipart form, or base64 in JSON, never more than the limit."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator

import orjson
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from fovea_server.domain import Deadline
from fovea_server.edge.within import timeout
from fovea_server.errors import DeadlineExceeded, MalformedRequest, TooManyBytes
from fovea_server.request.gate import Gate

_FIELD = "image"
_DATA_URL = re.compile(r"\Adata:[^,]{0,200};base64,")  # RFC 2397, as browsers make them
_URL = re.compile(r"\A[a-z0-9]{1,10}://")
_ENVELOPE = 64 * 1024  # bytes that a form or JSON may add around the image
_MANY_CHUNKS = 1024
_SLICE = 64 * 1024  # bytes of a form that are parsed before others have their turn
_MANY_COMMAS = 64  # of JSON, which needs none; read as it is, 26 MB of `[],` would be 750 MB


async def read_image(request: Request, gate: Gate, deadline: Deadline) -> bytes:
    """The encoded image of a request, judged by its content type; what is neither form nor JSON is the image itself.

    Raises TooManyBytes before more than the limit has been read, MalformedRequest for an envelope that cannot be
    opened, and DeadlineExceeded where the body is not there in time.
    """
    async with _until(deadline):
        return await _read_image(request, gate)


async def read_body(request: Request, limit: int, deadline: Deadline) -> bytes:
    """A body that is no image. Raises TooManyBytes, MalformedRequest or DeadlineExceeded likewise."""
    async with _until(deadline):
        return await _read(request, limit)


@contextlib.asynccontextmanager
async def _until(deadline: Deadline) -> AsyncIterator[None]:
    try:
        async with timeout(deadline.remaining()):  # in the same task, which `wait_for` is not before Python 3.12
            yield
    except (asyncio.TimeoutError, TimeoutError):
        raise DeadlineExceeded("the deadline passed while the body was still being sent") from None


async def _read_image(request: Request, gate: Gate) -> bytes:
    if (encoding := request.headers.get("content-encoding", "").strip()).lower() not in ("", "identity"):
        raise MalformedRequest(f"Content-Encoding is {encoding[:80]!r}; send the body as it is")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        image = await _from_form(request, gate)
    elif kind == "application/json":
        image = _from_json(await _read(request, gate.max_bytes * 4 // 3 + _ENVELOPE))
    else:
        image = await _read(request, gate.max_bytes)
        if kind == "application/x-www-form-urlencoded":  # as curl names what it sends, unless it is told otherwise
            _check_whole(image)
    gate.check_bytes(len(image))
    return image


def _check_whole(image: bytes) -> None:
    """curl's -d takes three bytes out of a file, one of which is in every image; without @ it sends the file's name."""
    if image and not any(taken in image for taken in (b"\0", b"\r", b"\n")):
        raise MalformedRequest(
            "this is not what is in the file: with curl use --data-binary @FILE, not -d, and with the @"
        )


async def _read(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    many = bytearray()  # of a body in very many chunks: each of them, by itself, is larger than what is in it
    async for chunk in _limited(request, limit):
        chunks.append(chunk)
        if len(chunks) == _MANY_CHUNKS:
            many += b"".join(chunks)
            chunks.clear()
    if many:
        return bytes(many + b"".join(chunks))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; raises TooManyBytes as soon as the limit is passed, or announced to be."""
    _check_announced(request.headers.get("content-length"), limit)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise TooManyBytes(f"more than {limit:,} bytes were sent; at most {limit:,} are read")
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise MalformedRequest(f"the connection closed after {received:,} bytes of the body") from None


async def _sliced(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """A crafted form of 20 MB takes 10 s to parse, a slice of it 30 ms."""
    async for chunk in _limited(request, limit):
        for begin in range(0, len(chunk), _SLICE):
            yield chunk[begin : begin + _SLICE]
            await asyncio.sleep(0)


def _check_announced(length: str | None, limit: int) -> None:
    if length is None or not length.isdigit():
        return
    if int(length) > limit:
        raise TooManyBytes(f"the body has {int(length):,} bytes; at most {limit:,} are read")


class _Form(MultiPartParser):
    spool_max_size = 1 << 30  # in memory always: the limit is far below this, and a disk may be full
    max_file_size = spool_max_size  # as older Starlettes call it


async def _from_form(request: Request, gate: Gate) -> bytes:
    parser = _Form(request.headers, _sliced(request, gate.max_bytes + _ENVELOPE), max_files=1, max_fields=16)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise MalformedRequest(f"the form cannot be read: {error}; send one field named {_FIELD!r}") from None
    part = form.get(_FIELD)
    if isinstance(part, UploadFile):
        _check_alone(set(form) - {_FIELD}, "form")
        image = await part.read()
        await part.close()
        return image
    if part is not None:
        raise MalformedRequest(
            f"the form's field {_FIELD!r} is text; send it as a file, with a filename; with curl -F {_FIELD}=@FILE"
        )
    names = ", ".join(sorted(form)) or "none"
    raise MalformedRequest(
        f"the form has no field named {_FIELD!r}; its fields: {names[:200]}; with curl -F {_FIELD}=@FILE"
    )


def _from_json(body: bytes) -> bytes:
    if not body.lstrip().startswith(b"{"):
        raise MalformedRequest(
            f'the JSON must be an object like {{"{_FIELD}": "<base64>"}}; the image itself needs no Content-Type'
        )
    if (commas := body.count(b",")) > _MANY_COMMAS:
        raise MalformedRequest(f'the JSON has {commas:,} commas; it must be an object like {{"{_FIELD}": "<base64>"}}')
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get(_FIELD), str):
        raise MalformedRequest(f'the JSON must be an object like {{"{_FIELD}": "<base64>"}}')
    _check_alone(set(document) - {_FIELD}, "JSON")
    try:
        return base64.b64decode(_DATA_URL.sub("", document[_FIELD], count=1), validate=True)
    except (binascii.Error, ValueError) as error:
        hint = "; URLs are not fetched" if _URL.match(document[_FIELD]) else ""
        raise MalformedRequest(f"{_FIELD!r} is not base64: {error}{hint}") from None


def _check_alone(others: set[str], where: str) -> None:
    if others:
        raise MalformedRequest(
            f"the {where} has fields that mean nothing here: {', '.join(sorted(others))[:200]}; "
            "options such as top_k go into the query"
        )
