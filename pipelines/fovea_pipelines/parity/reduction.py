"""Tell what decoding at a fraction of the size does: which images it is done to, and who decodes those in full."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from fovea_pipelines.contract import Contract
from fovea_pipelines.dali_executor import is_reduced
from fovea_pipelines.parity.corpus import Specimen
from fovea_pipelines.parity.executors import DaliCpu, Executor

REDUCED = "reduced"  # the kind of those that the CPU decodes at a fraction of their size


def marked(specimens: Iterable[Specimen], contract: Contract) -> Iterator[Specimen]:
    """The specimens, of which some count towards one kind more."""
    for specimen in specimens:
        if is_reduced(np.frombuffer(specimen.content, np.uint8), contract):
            yield dataclasses.replace(specimen, kinds=(*specimen.kinds, REDUCED))
        else:
            yield specimen


def in_full(executors: Mapping[str, Executor]) -> dict[str, Executor]:
    """For each that decodes some images at a fraction, one more that decodes them in full and is otherwise the same."""
    wholes = {name: executor.in_full() for name, executor in executors.items() if isinstance(executor, DaliCpu)}
    return {f"{name} in full": whole for name, whole in wholes.items() if whole}
