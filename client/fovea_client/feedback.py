"""What turned out to be true of answers, and what became of saying so; the same over REST and gRPC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fovea_client.errors import FoveaClientError

# matched: the server's process that took it gave that answer lately. pending: whether there is such an answer shows
# when both are joined.
Status = Literal["matched", "pending"]


@dataclass(frozen=True)
class Feedback:
    """`id` is the answer's, `label` a label of the model or its index; `model` says whose answer where several gave
    one, and is about all of them if not given."""

    id: str
    label: str | int
    model: str | None = None

    def to_mapping(self) -> dict[str, str | int]:
        about = {"id": self.id, "label": self.label}
        return about if self.model is None else {**about, "model": self.model}


@dataclass(frozen=True)
class FeedbackReport:
    """What became of many: how many were kept, and the error of each that was not, by its place from 0."""

    matched: int
    pending: int
    refused: dict[int, FoveaClientError]

    @property
    def accepted(self) -> int:
        return self.matched + self.pending

    @classmethod
    def of(cls, outcomes: Iterable[Status | FoveaClientError]) -> FeedbackReport:
        said = list(outcomes)
        refused = {place: each for place, each in enumerate(said) if isinstance(each, FoveaClientError)}
        return cls(said.count("matched"), said.count("pending"), refused)
