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
    engine = OpenVinoEngine(package.artefacts[0].path, "f32", streams=1)
    executors = {"DALI on the CPU": DaliCpu(package.contract)}
    table = matrix.markdown(compare(list(matrix.specimens()), executors, package.contract, engine))
    head, marker, written = PAGE.read_text().partition("<!-- table -->\n")
    assert marker
    if os.environ.get("FOVEA_WRITE_DOCS"):
        PAGE.write_text(head + marker + table)
        pytest.skip("written")
    # Encoders differ from one version of Pillow to the next: what is read and refused must be the same, the measured
    # differences nearly.
    assert _NUMBERS.sub("n", written) == _NUMBERS.sub("n", table)
    for before, now in zip(_NUMBERS.findall(written), _NUMBERS.findall(table), strict=True):
        assert float(now) == pytest.approx(float(before), abs=3)
