"""The ways in which an image's header is refused. The message says why, with the numbers."""


class Refused(Exception):
    """The image is not to be decoded."""


class Empty(Refused):
    """There are no bytes."""


class NotAnImage(Refused):
    """The bytes are of no image format we know."""


class FormatNotServed(Refused):
    """A sound image, as far as one can tell, of a kind that is not served."""


class Damaged(Refused):
    """The header contradicts itself, claims the impossible, or is cut short."""
