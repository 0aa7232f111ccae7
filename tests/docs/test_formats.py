"""docs/formats.md is what a comparison of every format shows; `FOVEA_WRITE_DOCS=1 make test` writes it again."""

from __future__ import annotations

import os
import re

import pytest
from tests.conftest import ROOT

from fovea_pipelines.dali_executor import Device
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import matrix
from fovea_pipelines.parity.comparison import compare
from fovea_pipelines.parity.executors import DaliCpu, DaliGpu

PAGE = ROOT / "docs/formats.md"
_MEASURED = re.compile(r"mean (?P<mean>\d+\.\d+), max (?P<maximum>\d+)")


def test_the_page_of_formats_is_true(package: ModelPackage) -> None:
    engine = OpenVinoEngine(package.onnx.path, "f32", streams=1)
    executors = {
        "DALI on the CPU": DaliCpu(package.contract),
        "the GPU's graph, run on a CPU": DaliGpu(package.contract, threads=2, device=Device(place=None)),
    }
    table = matrix.markdown(compare(list(matrix.specimens()), executors, package.contract, engine))
    _check("<!-- table -->\n", table)


def test_the_formats_on_request_are_served_as_it_says(package: ModelPackage) -> None:
    pytest.importorskip("pillow_heif")
    _check("<!-- table of formats on request -->\n", matrix.on_request(package.contract))


def _check(marker: str, table: str) -> None:
    """The table after the marker is this one, nearly, or becomes it where that is asked for."""
    head, found, rest = PAGE.read_text().partition(marker)
    assert found, marker
    written, gap, tail = rest.partition("\n\n")
    if os.environ.get("FOVEA_WRITE_DOCS"):
        PAGE.write_text(head + found + table + gap[1:] + tail)
        pytest.skip("written")
    _compare(written.strip("\n") + "\n", table)


def _compare(written: str, table: str) -> None:
    """Encoders differ from one version of Pillow to the next: what is read and refused must be the same, the measured
    differences nearly."""
    assert _MEASURED.sub("measured", written) == _MEASURED.sub("measured", table)
    for before, now in zip(_MEASURED.finditer(written), _MEASURED.finditer(table), strict=True):
        assert float(now["mean"]) == pytest.approx(float(before["mean"]), abs=0.15)
        assert float(now["maximum"]) == pytest.approx(float(before["maximum"]), abs=3)


@pytest.mark.parametrize(
    "now",
    [
        "| jpeg | mean 0.35, max 1 |",
        "| jpeg | mean 0.14, max 5 |",
        "| jpeg | refuses |",
        "| jpeg, orientation 6 | mean 0.14, max 1 |",
    ],
)
def test_a_page_that_is_no_longer_true_is_noticed(now: str) -> None:
    with pytest.raises(AssertionError):
        _compare("| jpeg | mean 0.14, max 1 |", now)
    _compare(now, now)
