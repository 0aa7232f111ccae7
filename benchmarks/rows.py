"""One measurement: a path through the server, or a part of the work alone, under one load in one round."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.processes import Cost
from benchmarks.stages import Stage
from fovea_client.load.measured import Load

BARE = "bare loop"
ONE_BY_ONE = "bare loop, one by one"
PREPROCESSING = "preprocessing alone"
NETWORK = "network alone"
TRITON = "Triton, gRPC"
REST = "gateway, REST"
GRPC = "gateway, gRPC"


@dataclass(frozen=True)
class Row:
    """`cost` is None where the server's pid is not known; `stages` are what the models did inside Triton meanwhile.

    share   of an open loop: its rate as a fraction of the path's most images/s in the closed loops of its round
    """

    path: str
    load: Load
    cost: Cost | None
    round: int = 1
    share: float | None = None
    stages: Mapping[str, Stage] = field(default_factory=dict)

    @property
    def cpu_ms(self) -> float | None:
        """CPU milliseconds of all the server's processes, an image."""
        if self.cost is None or not self.load.served:
            return None
        return 1000 * self.cost.cpu_seconds / self.load.served

    @property
    def cores(self) -> float | None:
        """How many were busy on average with what all the server's processes did."""
        return None if self.cpu_ms is None else self.load.images_per_second * self.cpu_ms / 1000

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Row:
        table = json.loads(text)
        return cls(
            table["path"],
            Load(**table["load"]),
            Cost(**table["cost"]) if table["cost"] else None,
            table["round"],
            table["share"],
            {model: Stage(**stage) for model, stage in table["stages"].items()},
        )
