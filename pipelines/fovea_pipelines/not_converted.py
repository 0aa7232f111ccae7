"""Why an image of another format could not be made into one that is served, each reason with a word for the wire."""

from typing import ClassVar


class NotConverted(Exception):
    """There are no pixels. The message says why, for the person who sent the image."""

    word: ClassVar[str]


class TooLarge(NotConverted):
    """More pixels than allowed, whatever the header said."""

    word = "too-large"


class NotServed(NotConverted):
    """A sound image whose pixels have no meaning in the contract."""

    word = "not-served"


class Undecodable(NotConverted):
    """The decoder does not get through it."""

    word = "undecodable"


class OutOfMemory(NotConverted):
    """Decoding it takes more memory than a decoder may have."""

    word = "out-of-memory"
