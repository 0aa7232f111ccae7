"""What an image's header says, read without decoding a pixel: format, size, orientation, or why it is refused."""

from fovea_pipelines.headers.frame import Load
from fovea_pipelines.headers.reading import ON_REQUEST, Header, read
from fovea_pipelines.headers.refusals import Damaged, Empty, FormatNotServed, NotAnImage, Refused
from fovea_pipelines.headers.webp import evened

__all__ = [
    "ON_REQUEST",
    "Damaged",
    "Empty",
    "FormatNotServed",
    "Header",
    "Load",
    "NotAnImage",
    "Refused",
    "evened",
    "read",
]
