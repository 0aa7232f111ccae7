"""Where PyTorch is not installed, adding one of its networks says so, and nothing else asks for it."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytest

from fovea_pipelines.adding.pytorch import libraries, zoo
from fovea_pipelines.errors import BadNetwork, MissingArtefact


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet18"])
def test_without_pytorch_the_hint_is_to_install_it(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingArtefact, match="needs the Python package torch, which is not installed") as refusal:
        zoo.read(spec, tmp_path / "weights.pth")
    assert refusal.value.hint == "pip install 'fovea-server[export]'"


def test_what_names_no_network_is_refused_without_pytorch() -> None:
    with pytest.raises(BadNetwork, match="'resnet18' names no network"):
        zoo.read("resnet18", None)


def test_quiet_ends_where_it_ends(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with libraries.quiet():
        sys.stdout.write("chatter")
        sys.stderr.write("chatter")
        warnings.warn("chatter", stacklevel=1)
        logging.getLogger("chatter").error("chatter")
    sys.stdout.write("data")
    logging.getLogger("ours").error("a line")
    assert capsys.readouterr() == ("data", "")
    assert [record.message for record in caplog.records] == ["a line"]
