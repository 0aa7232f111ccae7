"""What an image's header says, as facts or as an error of ours."""

from __future__ import annotations

from fovea_pipelines import headers
from fovea_server.domain import ImageFacts
from fovea_server.errors import EmptyBody, FormatNotServed, FoveaError, NotAnImage, Undecodable

_ERRORS: dict[type[headers.Refused], type[FoveaError]] = {
    headers.Empty: EmptyBody,
    headers.NotAnImage: NotAnImage,
    headers.FormatNotServed: FormatNotServed,
    headers.Damaged: Undecodable,
}


def read(image: bytes, also: frozenset[str] = frozenset()) -> ImageFacts:
    """Format, size and orientation, in microseconds; `also` are formats besides those that are always served.

    Raises EmptyBody, NotAnImage, FormatNotServed or Undecodable.
    """
    try:
        header = headers.read(image, also)
    except headers.Refused as refusal:
        raise _ERRORS[type(refusal)](str(refusal)) from None
    return ImageFacts(header.format, header.width, header.height, header.orientation, len(image))
