"""What a drill works with: a server of its own, photographs, and c."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from benchmarks import photographs
from tests.drills.harness import capacity, open_loop
from tests.drills.harness.capacity import Capacity
from tests.drills.harness.drill import Scale
from tests.drills.harness.watch import Watch
from tests.e2e.served import Served, served
from tests.ports import free_ports

_IMAGES = 100


class Bench:
    """Made at first use, and stopped with the `with` block. A capacity that is given is not measured again."""

    def __init__(self, scale: Scale, options: tuple[str, ...] = (), capacity: Capacity | None = None) -> None:
        if capacity is not None:
            vars(self)["capacity"] = capacity
        self.scale = scale
        self._options = options
        self._stack = contextlib.ExitStack()
        self.notes: dict[str, Any] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @functools.cached_property
    def server(self) -> Served:
        return self.another()

    def another(self, *options: str) -> Served:
        """A further server, with these options besides the drill's."""
        return self._stack.enter_context(served(free_ports(5), *self._options, *options))

    @functools.cached_property
    def images(self) -> tuple[bytes, ...]:
        """Photographs, encoded."""
        return tuple(image.encoded for image in photographs.read().images[:_IMAGES])

    def requests(self, headers: Mapping[str, str] | None = None) -> list[bytes]:
        """One whole REST request for each photograph."""
        return [open_loop.post(image, headers=headers) for image in self.images]

    @functools.cached_property
    def capacity(self) -> Capacity:
        """Measured at its first use, on the server of this run."""
        found = capacity.measure(self.server.rest_port, self.requests(), self.scale)
        self.say(
            f"c = {found.rate:.0f}/s (p99 {found.p99_ms:.0f} ms, bound {found.bound_ms:.0f} ms"
            f"{'' if found.met else ', NOT met'}; closed loop {found.closed_loop:.0f}/s)"
        )
        return found

    @property
    def c(self) -> float:
        return self.scale.share * self.capacity.rate

    def watch(self) -> Watch:
        """Of the server's memory and descriptors."""
        return Watch(self.server.process.pid)

    def note(self, **facts: Any) -> None:
        """Facts that explain the figures; they go into the result."""
        self.notes.update(facts)

    def say(self, line: str) -> None:
        print(f"    {line}", file=sys.stderr, flush=True)
