"""Our reader gives the tensors that PyTorch wrote, in every format it writes. Needs torch: `make test-torch`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights import Array, read_state_dict

torch = pytest.importorskip("torch", reason="torch is not installed; run `make test-torch`")
pytestmark = pytest.mark.torch

Write = Callable[[Any, Path], None]

WRITERS: dict[str, Write] = {
    "zip": torch.save,
    "zip, protocol 4": lambda held, path: torch.save(held, path, pickle_protocol=4),
    "before 1.6": lambda held, path: torch.save(held, path, _use_new_zipfile_serialization=False),
}
KINDS = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


class Network(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
        self.head = torch.nn.Linear(4, 5)
        self.register_buffer("table", torch.arange(6).reshape(2, 3).t())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(images).mean((2, 3)))


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Write:
    return WRITERS[request.param]


def _the_same(ours: dict[str, Array], theirs: Any) -> None:
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        assert ours[name].dtype == expected.dtype
        np.testing.assert_array_equal(ours[name], expected)


def test_a_state_dict_is_read_as_it_was_saved(network: Any, write: Write, tmp_path: Path) -> None:
    write(network.state_dict(), tmp_path / "weights.pth")
    _the_same(read_state_dict(tmp_path / "weights.pth"), network.state_dict())


def test_every_kind_of_number_and_every_layout_is_read(write: Write, tmp_path: Path) -> None:
    numbers = torch.arange(24).reshape(2, 3, 2, 2)
    held = {kind: numbers.to(getattr(torch, kind)) for kind in KINDS}
    held |= {
        "channels last": numbers.float().contiguous(memory_format=torch.channels_last),
        "turned": numbers.float().permute(3, 2, 1, 0),
        "a part": numbers.float()[1, 1:],
        "a scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "repeated": torch.ones(1, 3).expand(4, 3),
        "a parameter": torch.nn.Parameter(torch.ones(3)),
    }
    tied = torch.ones(7)
    held |= {"tied": tied, "tied too": tied}
    write(held, tmp_path / "weights.pth")
    _the_same(read_state_dict(tmp_path / "weights.pth"), {name: each.detach() for name, each in held.items()})


def test_what_training_scripts_save_is_unwrapped(network: Any, write: Write, tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    averaged = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    checkpoint = {
        "epoch": 3,
        "arch": "network",
        "args": argparse.Namespace(lr=0.1, betas=(0.9, 0.99), tags=["a"], resume=None),
        "optimizer": optimizer.state_dict(),
        "state_dict": {f"module.{name}": tensor for name, tensor in network.state_dict().items()},
    }
    write(checkpoint, tmp_path / "last.pth.tar")
    _the_same(read_state_dict(tmp_path / "last.pth.tar"), network.state_dict())
    write({**checkpoint, "state_dict_ema": averaged}, tmp_path / "last.pth.tar")
    _the_same(read_state_dict(tmp_path / "last.pth.tar"), averaged)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_torch_script_module_gives_its_state_dict(network: Any, how: str, tmp_path: Path) -> None:
    compiled = torch.jit.script(network) if how == "script" else torch.jit.trace(network, torch.ones(1, 3, 8, 8))
    torch.jit.save(compiled, tmp_path / "network.pt")
    _the_same(read_state_dict(tmp_path / "network.pt"), network.state_dict())


def test_a_whole_network_is_refused_by_the_name_of_its_class(network: Any, write: Write, tmp_path: Path) -> None:
    write(network, tmp_path / "network.pth")
    with pytest.raises(
        BadWeights, match=r"^network\.pth asks for .*Network, which is not a tensor; it was not loaded$"
    ):
        read_state_dict(tmp_path / "network.pth")


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def test_what_would_run_code_is_refused_and_nothing_runs(
    network: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write({**network.state_dict(), "z": _RunsCode()}, tmp_path / "evil.pth")
    with pytest.raises(BadWeights, match=r"asks for (posix|nt)\.system"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_safetensors_are_read_as_their_own_library_writes_them(network: Any, tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.torch", reason="safetensors is not installed; run `make test-torch`")
    held = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    held |= {kind: torch.arange(4).to(getattr(torch, kind)) for kind in KINDS}
    theirs.save_file(held, tmp_path / "model.safetensors", metadata={"format": "pt"})
    _the_same(read_state_dict(tmp_path / "model.safetensors"), held)
