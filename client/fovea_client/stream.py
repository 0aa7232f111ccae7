"""The images of one stream, each with an id by which its answer is known again."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

from fovea_client import grpc_wire, images, request_ids
from fovea_client.errors import BadImage, FoveaClientError
from fovea_client.grpc_wire import Item, Outcome
from fovea_client.images import Image
from fovea_client.wire import vision_pb2


@dataclass
class Sending:
    """Makes the requests of one stream and reads the ids of its answers.

    An image without an id of the caller's is known by its position: "0", "1", ..., whatever ids others have. On the
    wire the position has a prefix, so that no two streams share an id in the server's logs. An id that servers would
    not repeat, such as a file name with a space, stays here, and its position travels.

    An image that cannot be read from disk, or that no message holds, gets an error of its own. gRPC swallows what an
    iterator of requests raises; so any other failure is kept here and ends the sending: the images before it are still
    answered, and then the caller gets the failure.
    """

    model: str | None
    top_k: int
    embedding: bool
    failure: Exception | None = None
    unsent: deque[tuple[str, Outcome]] = field(default_factory=deque)
    _kept: dict[str, str] = field(default_factory=dict)  # the caller's ids that do not travel, by those that do instead
    _prefix: str = field(default_factory=lambda: f"{uuid.uuid4().hex}-")

    def requests(self, items: Iterable[Item]) -> Iterator[vision_pb2.ClassifyRequest]:
        try:
            for position, item in enumerate(items):
                name, image = self._named(position, item)
                try:
                    request = self._request(name, images.read(image))
                except (OSError, ValueError, BadImage) as error:
                    self._not_sent(name, error)
                else:
                    yield request
        except Exception as error:
            self.failure = error

    async def requests_async(
        self, items: Iterable[Item] | AsyncIterable[Item]
    ) -> AsyncIterator[vision_pb2.ClassifyRequest]:
        try:
            position = 0
            async for item in _each(items):
                name, image = self._named(position, item)
                position += 1
                try:
                    request = self._request(name, await images.read_async(image))
                except (OSError, ValueError, BadImage) as error:
                    self._not_sent(name, error)
                else:
                    yield request
        except Exception as error:
            self.failure = error

    def received(self, said: vision_pb2.ClassifyStreamResponse) -> tuple[str, Outcome]:
        return self._callers(said.id), grpc_wire.outcome(said)

    def _not_sent(self, name: str, error: OSError | ValueError | BadImage) -> None:
        """ValueError is of a path that can be none."""
        failure: FoveaClientError
        if isinstance(error, BadImage):
            failure = error
        else:
            failure = FoveaClientError(str(error), reason="UNREADABLE_FILE", request_id=name)
        self.unsent.append((self._callers(name), failure))

    def _named(self, position: int, item: Item) -> tuple[str, Image]:
        """The id on the wire, and the image."""
        ours = f"{self._prefix}{position}"
        if not isinstance(item, tuple):
            return ours, item
        name, image = item
        if request_ids.is_fit(name):
            return name, image
        self._kept[ours] = name
        return ours, image

    def _callers(self, name: str) -> str:
        """What the caller calls the image that is `name` on the wire; asked once for each."""
        return self._kept.pop(name) if name in self._kept else name.removeprefix(self._prefix)

    def _request(self, name: str, image: bytes) -> vision_pb2.ClassifyRequest:
        return grpc_wire.classify(image, self.model, self.top_k, self.embedding, name)


async def _each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for item in items:
        yield item


def check_many(items: object) -> None:
    """A path or an image's bytes can be iterated too, to nobody's use. Raises TypeError."""
    if isinstance(items, str | bytes | bytearray):
        raise TypeError("classify_stream takes many images; for one there is classify")
