"""A file of tuned settings whose entries are of another kind is refused with the entry, not with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from fovea_pipelines.package import ModelPackage
from fovea_server.errors import StartError
from fovea_server.triton import tuned

FILE = """
model = "efficientnet_lite0"
digest = "sha256:0"
goal = "throughput"
machine = { cpu = "a", cores = 1 }
settings = { classify_efficientnet_lite0 = { instances = 1, threads = 1, batch = 8, delay = 0, precision = "f32" } }
"""


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        ('"sha256:0"', "5", "digest is 5; it must be text"),
        ('"efficientnet_lite0"', "[1]", r"model is \[1\]; it must be text"),
        ('"throughput"', "true", "goal is True; it must be text"),
        ('"f32"', "8", "precision is 8; it must be text"),
    ],
)
def test_an_entry_of_another_kind_is_refused_by_name(
    tmp_path: Path, package: ModelPackage, said: str, instead: str, problem: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace(said, instead))
    with pytest.raises(StartError, match=rf"mine\.toml holds no tuned settings: {problem}"):
        tuned.chosen(str(path), tmp_path, [package])
