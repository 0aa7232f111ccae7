"""A checkpoint gives its tensors and nothing else: no code in it is ever run."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from fovea_pipelines import build
from fovea_pipelines.errors import BadWeights
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.weights import read_state_dict

_MAGIC = 0x1950A86A20F9469CFC6C


@pytest.fixture(scope="module")
def checkpoint(package: ModelPackage) -> Path:
    return build.weights_of(package)


def test_the_published_checkpoint_gives_every_tensor(checkpoint: Path) -> None:
    tensors = read_state_dict(checkpoint)
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    trainable = sum(value.size for name, value in tensors.items() if name.endswith(("weight", "bias")))
    assert trainable == 4_652_008  # what the paper's table calls 4.7 million
    assert all(np.isfinite(value).all() for value in tensors.values())


def _pickled(*values: object) -> io.BytesIO:
    return io.BytesIO(b"".join(pickle.dumps(value, protocol=2) for value in values))


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_checkpoint_that_would_run_code_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    values: list[object] = [_MAGIC, 1001, {}, OrderedDict(), []]
    values[place] = _RunsCode()
    path = tmp_path / "evil.pth"
    path.write_bytes(_pickled(*values).getvalue())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadWeights, match=r"asks for (posix|nt|os)\.system, which is not a tensor"):
        read_state_dict(path)
    assert not (tmp_path / "ran").exists()


def test_the_names_that_are_allowed_cannot_be_used_to_reach_others(tmp_path: Path) -> None:
    for name in (b"builtins\neval", b"collections\nOrderedDict.fromkeys", b"torch\nload", b"numpy\nload"):
        path = tmp_path / "evil.pth"
        path.write_bytes(b"\x80\x02c" + name + b"\n.")
        with pytest.raises(BadWeights):
            read_state_dict(path)


def test_a_truncated_checkpoint_is_refused_wherever_it_ends(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "short.pth"
    for size in (0, 1, 10, 100, 5_000, 40_000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(BadWeights):
            read_state_dict(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zip.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BadWeights, match=r"zip\.pth"):
        read_state_dict(path)
