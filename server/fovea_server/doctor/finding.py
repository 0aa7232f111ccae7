"""What an examination finds: how bad it is, where, why it hurts, and the lines that would end it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """`rule` names the kind of trouble, `file` is relative to the repository, `line` counts from 1 and is None where
    something is missing altogether; `why` is one sentence; `do` the exact lines to write, or what else to do."""

    severity: Severity
    rule: str
    model: str
    file: str
    what: str
    why: str
    do: tuple[str, ...]
    line: int | None = None

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def to_mapping(self) -> dict[str, Any]:
        return {**asdict(self), "do": list(self.do)}
