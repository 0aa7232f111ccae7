"""Every setting of a DALI operator that changes pixels is said, so that no default of DALI's decides."""

from __future__ import annotations

from typing import Any

import pytest
from nvidia.dali import types

from fovea_pipelines import dali_graph
from fovea_pipelines.package import ModelPackage


def test_no_default_decides_how_an_image_is_resized(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}
    monkeypatch.setattr("fovea_pipelines.dali_graph.fn.resize", lambda image, **settings: said.update(settings))
    dali_graph.resized(package.contract, None, [("begin", "end", "size")])
    assert said == {
        "size": "size",
        "roi_start": "begin",
        "roi_end": "end",
        "roi_relative": False,
        "interp_type": types.INTERP_LINEAR,
        "antialias": True,
        "subpixel_scale": False,
        "dtype": types.UINT8,
    }
