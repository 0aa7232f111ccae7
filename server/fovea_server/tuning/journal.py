"""The evidence of a sweep, written after each trial, one JSON document a line; what a sweep is resumed from.

The search is a function of what it measured, so going on is to begin again and to be given what is recorded. Where it
asks for something else, by another version say, the record forks: a line tells how many trials before it still count.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fovea_server.errors import StartError
from fovea_server.triton.tuned import Setting
from fovea_server.tuning.trial import Role, Trial

_MOMENT = "????????T??????"  # as a pattern of file names


class Journal:
    """`middle` is the rate around which all others lie, once it was measured; `trials` are all there are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.middle: float | None = None
        self.trials: list[Trial] = []
        self._recorded: deque[Trial] = deque()

    @classmethod
    def begin(cls, folder: Path, model: str, plan: Mapping[str, Any]) -> Journal:
        """A new one. Raises OSError where the folder cannot be made, StartError where nothing can be written in it."""
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / f"{model}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S}.jsonl")
        journal._write({"plan": plan})
        return journal

    @classmethod
    def resume(cls, folder: Path, model: str, plan: Mapping[str, Any]) -> Journal:
        """The newest of the model. Raises StartError where there is none, or it was begun with another plan."""
        paths = sorted(folder.glob(f"{model}-{_MOMENT}.jsonl"))
        if not paths:
            raise StartError(f"there is no sweep of {model} to go on with in {folder}", "begin one: fovea tune")
        journal = cls(paths[-1])
        begun = journal._read()
        if changed := [name for name in plan if begun.get(name) != plan[name]]:
            told = ", ".join(f"{name} was {begun.get(name)} and is {plan[name]}" for name in changed)
            raise StartError(f"{journal.path.name} was begun otherwise: {told}", "begin anew: fovea tune")
        return journal

    @property
    def hint(self) -> str:
        """What to do where something cannot be written."""
        return (
            f"make room, and `fovea tune --resume` goes on with the trials in {self.path}; or begin anew in another "
            "folder, with --state"
        )

    @property
    def remembered(self) -> int:
        """Recorded trials that nobody has asked for yet."""
        return len(self._recorded)

    def recall(self, setting: Setting, role: Role) -> Trial | None:
        """The next recorded trial, if it is this one; None once the record ends, or from where it is another."""
        if self._recorded and (self._recorded[0].setting, self._recorded[0].role) == (setting, role):
            trial = self._recorded.popleft()
            self.trials.append(trial)
            return trial
        if self._recorded:
            self._recorded.clear()
            self._write({"forks_after": len(self.trials)})
        return None

    def add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._write({"trial": trial.to_mapping()})

    def set_middle(self, rate: float) -> None:
        self.middle = rate
        self._write({"middle": rate})

    def _read(self) -> dict[str, Any]:
        """Everything recorded; the plan. A last line that was cut off is not read."""
        plan: dict[str, Any] = {}
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self.path, len(whole))
        recorded: list[Trial] = []
        try:
            for line in whole.decode().splitlines():
                entry = json.loads(line)
                plan = entry.get("plan", plan)
                self.middle = entry.get("middle", self.middle)
                if "trial" in entry:
                    recorded.append(Trial.from_mapping(entry["trial"]))
                del recorded[entry.get("forks_after", len(recorded)) :]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StartError(f"{self.path} cannot be read: {error}", "begin anew: fovea tune") from error
        self._recorded.extend(recorded)
        return plan

    def _write(self, entry: Mapping[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise StartError(f"{self.path} cannot be written: {error.strerror}", self.hint) from error
