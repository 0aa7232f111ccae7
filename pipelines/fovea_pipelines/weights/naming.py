"""Which of the things a file holds are the state dict, and what its tensors are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights.pickles import SAVE_THE_STATE_DICT, Object
from fovea_pipelines.weights.tensors import TensorView

# In the order in which timm looks for them (timm 1.0.31, models/_helpers.py): averaged weights first.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
# What torch.compile and DataParallel put before every name.
_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
# Far above any network; modules that hold each other have no end.
_MOST_ATTRIBUTES = 1_000_000
_LONGEST_NAME = 1_000

T = TypeVar("T")


def tensors_of(held: object) -> dict[str, TensorView]:
    """The tensors of a state dict, of a wrapper around one, or of a TorchScript module. Raises BadWeights."""
    if isinstance(held, Object):
        found = dict(_attributes(held))
    elif isinstance(held, dict):
        found = _entries(_unwrapped(held))
    else:
        raise BadWeights(f"holds a {type(held).__name__}, not a state dict", SAVE_THE_STATE_DICT)
    if not found:
        raise BadWeights("holds no tensors", SAVE_THE_STATE_DICT)
    return without_prefixes(found)


def without_prefixes(named: dict[str, T]) -> dict[str, T]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def _unwrapped(held: dict[Any, Any]) -> dict[Any, Any]:
    return next((held[name] for name in _WRAPPERS if isinstance(held.get(name), dict)), held)


def _entries(state_dict: dict[Any, Any]) -> dict[str, TensorView]:
    for name, value in state_dict.items():
        if not isinstance(name, str) or not isinstance(value, TensorView):
            kind = type(value).__name__
            raise BadWeights(f"is no state dict: its entry {name!r} is a {kind}, not a tensor", SAVE_THE_STATE_DICT)
    return state_dict


def _attributes(module: Object) -> Iterator[tuple[str, TensorView]]:
    """The tensors among a module's attributes and those of the modules in it, by dotted path."""
    waiting = [("", module)]
    seen = 0
    while waiting:
        prefix, module = waiting.pop()
        seen += len(module.attributes)
        for name, value in module.attributes.items():
            path = f"{prefix}{name}"
            if len(path) > _LONGEST_NAME or seen > _MOST_ATTRIBUTES:
                raise BadWeights("has modules within each other without end")
            if isinstance(value, TensorView):
                yield path, value
            elif isinstance(value, Object):
                waiting.append((f"{path}.", value))
