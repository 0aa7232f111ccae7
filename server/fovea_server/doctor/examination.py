"""All that is looked for in a repository, in one list."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fovea_pipelines import cpu
from fovea_pipelines.errors import NoGpu
from fovea_server.doctor import artefacts, batching, cores, ensembles, pixels, python_models, reading
from fovea_server.doctor.artefacts import Gpu
from fovea_server.doctor.finding import SEVERITIES, Finding
from fovea_server.doctor.reading import Repository


def examine(
    folders: Sequence[Path], config_name: str | None, *, threads: int, gpu: Gpu | None
) -> tuple[Repository, list[Finding]]:
    """What is wrong with the repository in these folders on a machine of so many `threads`; the worst first."""
    repository = reading.read(folders, config_name)
    found = [
        *repository.findings,
        *artefacts.examine(repository, gpu),
        *ensembles.examine(repository),
        *batching.examine(repository),
        *cores.examine(repository, threads, has_gpu=gpu is not None),
        *pixels.examine(repository),
        *python_models.examine(repository),
    ]
    return repository, sorted(found, key=lambda each: (SEVERITIES.index(each.severity), each.model, each.line or 0))


def cores_here() -> int:
    return cpu.available()


def gpu_here() -> Gpu | None:
    """The GPU of this machine; None where there is none that can be used."""
    from fovea_pipelines.gpu import driver, found

    try:
        found.first()
        architecture = driver.compute_capability()
    except NoGpu:
        return None
    if find_spec("tensorrt") is None:
        return Gpu(architecture, None)
    import tensorrt

    return Gpu(architecture, str(tensorrt.__version__))
