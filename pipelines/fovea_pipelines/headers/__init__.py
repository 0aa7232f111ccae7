"""What an image's header says, read without decoding a pixel: format, size, orientation, or why it is refused."""

from fovea_pipelines.headers.reading import Header, read
from fovea_pipelines.headers.refusals import Damaged, Empty, FormatNotServed, NotAnImage, Refused

__all__ = ["Header", "read", "Refused", "Empty", "NotAnImage", "FormatNotServed", "Damaged"]
