"""The file that a sweep leaves: the settings, and beside them what was measured, when, and on which machine."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import tomli_w

from fovea_pipelines.package import ModelPackage
from fovea_server.triton.tuned import Machine, Setting
from fovea_server.tuning.search import Search
from fovea_server.tuning.trial import Trial

UNITS = {"throughput": "images/s", "cpu": "images per CPU-second"}
_HEAD = "# Written by `fovea tune`; `fovea serve` uses it for this model on this kind of machine (docs/tuning.md).\n"


def settings_file(package: ModelPackage, machine: Machine, goal: str, setting: Setting) -> str:
    """What `fovea serve --tuned` reads, and nothing more."""
    return tomli_w.dumps(_settings(package, machine, goal, setting))


def evidence_file(
    package: ModelPackage, machine: Machine, plan: dict[str, Any], search: Search, trials: list[Trial]
) -> str:
    """The best setting and every trial. Where nothing beat the default, there is no setting: the default is served."""
    changed = search.best if search.best != search.baseline else None
    return _HEAD + tomli_w.dumps(
        {
            **_settings(package, machine, plan["goal"], changed),
            "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "complete": search.done,
            "p99_ms": plan["p99_ms"],
            "seconds": plan["seconds"],
            "photographs": plan["photographs"],
            "images": plan["images"],
            "result": {
                "unit": UNITS[plan["goal"]],
                "default": round(search.first, 2),
                "best": round(search.score, 2),
                "spread_of_the_default": round(search.spread, 4),
                "won": search.won,
            },
            "trials": [_row(trial) for trial in trials],
        }
    )


def _settings(package: ModelPackage, machine: Machine, goal: str, setting: Setting | None) -> dict[str, Any]:
    return {
        "model": package.name,
        "digest": package.digest,
        "goal": goal,
        "machine": {"cpu": machine.cpu, "cores": machine.cores},
        "settings": {package.ensemble: vars(setting)} if setting else {},
    }


def _row(trial: Trial) -> dict[str, Any]:
    steps = [_without_none(vars(step)) for step in trial.steps]
    row = {"role": trial.role, "setting": str(trial.setting), "score": round(trial.score, 2), "steps": steps}
    return {**row, **({"failure": trial.failure} if trial.failure else {})}


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if value is not None}
