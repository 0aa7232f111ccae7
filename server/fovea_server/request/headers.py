"""What an image's header says, or an error of ours."""

from __future__ import annotations

from fovea_pipelines import headers
from fovea_pipelines.headers import Header
from fovea_server.errors import EmptyBody, FormatNotServed, FoveaError, NotAnImage, Undecodable

_ERRORS: dict[type[headers.Refused], type[FoveaError]] = {
    headers.Empty: EmptyBody,
    headers.NotAnImage: NotAnImage,
    headers.FormatNotServed: FormatNotServed,
    headers.Damaged: Undecodable,
}


def read(image: bytes, also: frozenset[str] = frozenset()) -> Header:
    """What the header says, in microseconds; `also` are formats besides those that are always served.

    Raises EmptyBody, NotAnImage, FormatNotServed or Undecodable.
    """
    try:
        return headers.read(image, also)
    except headers.Refused as refusal:
        raise _ERRORS[type(refusal)](str(refusal)) from None
