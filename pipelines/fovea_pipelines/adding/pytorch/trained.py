"""A PyTorch network with its weights in it, and fitting the one to the other."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fovea_pipelines.adding.pytorch.libraries import torch
from fovea_pipelines.contract_sources import Source
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.weights import Array


@dataclass(frozen=True)
class Trained:
    """`network` is a torch.nn.Module; the rest is as in `Network`."""

    network: Any
    source: Source
    labels: tuple[str, ...] | None
    origin: Mapping[str, str]


def as_torch(tensors: Mapping[str, Array]) -> dict[str, Any]:
    """The same numbers as torch tensors."""
    return {name: torch().from_numpy(tensor) for name, tensor in tensors.items()}


def load(network: Any, tensors: Mapping[str, Any], what: str) -> None:
    """Put torch tensors into a network, every one in its place. Raises BadNetwork if one is missing or left over.

    What modules rename when loading weights older than they are (`_load_from_state_dict`) is renamed. Buffers that a
    network computes itself may be in the file, as TorchScript writes them; they are not taken from it.
    """
    computed = dict(network.named_buffers()).keys() - network.state_dict().keys()
    state = OrderedDict((name, tensor) for name, tensor in tensors.items() if name not in computed)
    if version := getattr(network, "_version", None):
        # Some networks refuse weights that do not say which version of the network they are for.
        state._metadata = {"": {"version": version}}  # type: ignore[attr-defined]
    try:
        left = network.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError):
        raise _misfit(network, state, what) from None
    if left.unexpected_keys or [name for name in left.missing_keys if not _counts_batches(name)]:
        raise _misfit(network, state, what)


def _counts_batches(name: str) -> bool:
    """Whether it only matters in training; weights older than PyTorch 0.4.1 lack it."""
    return name.endswith(".num_batches_tracked")


def _misfit(network: Any, state: Mapping[str, Any], what: str) -> BadNetwork:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if not _counts_batches(name)}
    given = {name: tuple(tensor.shape) for name, tensor in state.items() if not _counts_batches(name)}
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        f"{name} is {given[name]}, not {shape}" for name, shape in wanted.items() if given.get(name, shape) != shape
    ]
    counts = ", ".join(
        f"{len(names):,} {kind} (first {names[0]})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    )
    return BadNetwork(
        f"the weights are not those of {what}: it has {len(wanted):,} tensors, the file {len(given):,}; {counts}",
        hint="is the architecture the right one, and the head as its author built it?",
    )


def nearest(name: str, names: Iterable[str]) -> str | None:
    """A hint that says which names are like this one; None if none is."""
    close = difflib.get_close_matches(name.lower(), names, n=5)
    return f"did you mean {', '.join(close)}?" if close else None
