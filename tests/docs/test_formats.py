"""docs/formats.md is what a comparison of every format shows; `FOVEA_WRITE_DOCS=1 make test` writes it again."""

from __future__ import annotations

import os
import re

import pytest
from tests.conftest import ROOT

from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import matrix
from fovea_pipelines.parity.comparison import compare
from fovea_pipelines.parity.executors import DaliCpu

PAGE = ROOT / "docs/formats.md"
_NUMBERS = re.compile(r"\d+\.\d+|\d+")


def test_the_page_of_formats_is_true(package: ModelPackage) -> None:
    engine = OpenVinoEngine(package.onnx.path, "f32", streams=1)
    executors = {"DALI on the CPU": DaliCpu(package.contract)}
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
    written = written.strip("\n") + "\n"
    # Encoders differ from one version of Pillow to the next: what is read and refused must be the same, the measured
    # differences nearly.
    assert _NUMBERS.sub("n", written) == _NUMBERS.sub("n", table)
    for before, now in zip(_NUMBERS.findall(written), _NUMBERS.findall(table), strict=True):
        assert float(now) == pytest.approx(float(before), abs=3)
