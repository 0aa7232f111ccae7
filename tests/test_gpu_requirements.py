"""What a GPU machine without a package index is given is all that is imported there (deploy/gpu_requirements.txt)."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
THERE = {"python_version": "3.12", "python_full_version": "3.12.3"}

# Started with the names of the modules that are not to be found, and of those to import.
WITHOUT = """
import importlib, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"{name} is not packed", name=name)
missing = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Missing())
for module in sys.argv[2].split(","):
    importlib.import_module(module)
"""


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packed() -> dict[str, str]:
    """Versions by name."""
    lines = (ROOT / "deploy/gpu_requirements.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    return {_normalised(name): version for name, version in pinned}


def _needed(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What the distribution `name` needs on that machine, by its own metadata; one that is not installed here says
    nothing."""
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, requirements):
        markers = [{**THERE, "extra": extra} for extra in extras or {""}]
        if requirement.marker is None or any(map(requirement.marker.evaluate, markers)):
            yield requirement


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def test_all_that_is_needed_is_packed_in_a_version_that_fits() -> None:
    """A distribution that was installed here in another version than the packed one says which others it needs, and not
    in which version: pip compares those when it packs."""
    packed = _packed()
    todo, seen = [("fovea-server", frozenset({"gpu"}))], set()
    while todo:
        name, extras = todo.pop()
        is_the_packed_one = name == "fovea-server" or _installed(name) == packed[name]
        for requirement in _needed(name, extras):
            wanted = _normalised(requirement.name)
            key = wanted, frozenset(requirement.extras)
            if wanted == "nvidia-cublas":  # CUDA's own libraries are PyTorch's there
                continue
            if wanted != "fovea-server":
                assert wanted in packed, f"{name} needs {requirement}"
                fits = requirement.specifier.contains(packed[wanted], prereleases=True)
                assert fits or not is_the_packed_one, f"{name} needs {requirement}"
            if key not in seen:
                seen.add(key)
                todo.append(key)
    assert len(seen) > 40


@pytest.mark.parametrize(
    "modules",
    [
        "fovea_server.app,fovea_server.cli.main,fovea_client",
        "benchmarks.gpu,benchmarks.gpu_limits",
        "tests.gpu.conftest,tests.gpu.test_served,tests.gpu.test_dali_on_the_gpu,tests.gpu.test_engines",
    ],
)
def test_nothing_else_is_imported(modules: str) -> None:
    packed = {*_packed(), "fovea-server"}
    missing = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if not any(_normalised(name) in packed for name in distributions)
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(missing), modules],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
