"""Read what somebody says of a network's preprocessing: a contract, another library's file, or a size and a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovea_pipelines import toml
from fovea_pipelines.contract import Contract
from fovea_pipelines.contract_sources import Source, from_huggingface, from_timm, from_ultralytics
from fovea_pipelines.contract_sources.source import channels, deviations
from fovea_pipelines.errors import BadContract

_ULTRALYTICS = "ultralytics:"


def read(said: str) -> Source:
    """The contract and the normalisation.

    `said` is a TOML file with [contract] and [normalisation] as in a model.toml, a Hugging Face
    `preprocessor_config.json`, a timm data config or pretrained config as JSON, or "ultralytics:classify:224".
    Raises BadContract.
    """
    if said.startswith(_ULTRALYTICS):
        return _ultralytics(said)
    path = Path(said)
    try:
        text = path.read_text(encoding="utf-8")
        return _from_toml(toml.loads(text), path) if path.suffix == ".toml" else _from_json(json.loads(text), path)
    except OSError as error:
        raise BadContract(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, toml.TOMLDecodeError) as error:
        raise BadContract(f"{path} is not {'TOML' if path.suffix == '.toml' else 'JSON'}: {error}") from error


def _from_toml(table: Mapping[str, Any], path: Path) -> Source:
    for name in ("contract", "normalisation"):
        if not isinstance(table.get(name), dict):
            raise BadContract(f"{path} lacks a table [{name}]; a model.toml that is served has both")
    normalisation = table["normalisation"]
    if unknown := sorted(set(normalisation) - {"mean", "std"}):
        raise BadContract(f"normalisation in {path} has unknown settings: {', '.join(unknown)}; it has mean and std")
    mean = channels("normalisation.mean", normalisation.get("mean"))
    std = deviations("normalisation.std", normalisation.get("std"))
    if max(mean) <= 1 and max(std) < 1:
        raise BadContract(
            f"normalisation in {path} has mean {list(mean)} and std {list(std)}, which are of pixels from 0 to 1",
            hint="multiply both by 255: they are in units of 0..255 here",
        )
    contract = Contract.from_mapping(table["contract"])
    contract.check_that_all_says_something()
    return Source(contract, mean, std, contract.scaled_decode if "scaled_decode" in table["contract"] else None)


def _from_json(document: Any, path: Path) -> Source:
    if not isinstance(document, dict):
        raise BadContract(f"{path} holds no JSON object")
    if "image_processor_type" in document or "feature_extractor_type" in document:
        return from_huggingface(document)
    # timm writes its config.json around what it calls the pretrained config.
    config = document.get("pretrained_cfg") or document
    if isinstance(config, dict) and "interpolation" in config and "input_size" in config:
        return from_timm(config)
    raise BadContract(
        f"{path} is neither a preprocessor_config.json (image_processor_type) nor a timm config (input_size, "
        "interpolation)"
    )


def _ultralytics(said: str) -> Source:
    task, _, size = said.removeprefix(_ULTRALYTICS).partition(":")
    if not size.isdigit():
        raise BadContract(f"{said!r} does not name a task and a size; write {_ULTRALYTICS}classify:224")
    return from_ultralytics(int(size), task=task)
