"""Repositories that are odd on purpose or by accident are read to their end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doctor import strangers

from fovea_server.doctor import examination
from fovea_server.doctor.artefacts import Gpu
from fovea_server.doctor.finding import Finding


def _examined(folder: Path, gpu: Gpu | None = None) -> list[Finding]:
    return examination.examine([folder], None, threads=2, gpu=gpu)[1]


def test_a_folder_named_with_a_superscript_is_no_version(tmp_path: Path) -> None:
    strangers.model(tmp_path, "net", strangers.NETWORK_CONFIG.replace("network", "net"), {"model.onnx": ""})
    (tmp_path / "net/²").mkdir()
    assert "missing-artefact" not in [each.rule for each in _examined(tmp_path)]


@pytest.mark.parametrize("name", ["model.dali", "model.plan", "model.py"])
def test_a_folder_named_like_a_file_is_passed_over(tmp_path: Path, name: str) -> None:
    strangers.model(tmp_path, "dali", strangers.DALI_CONFIG, {})
    (tmp_path / "dali/1" / name).mkdir()
    rules = [each.rule for each in _examined(tmp_path, Gpu("9.0", "10.3.0"))]
    assert "no-ragged-batch" in rules
    assert "foreign-plan" not in rules


@pytest.mark.parametrize(
    "source",
    [
        "-" * 200_000 + "1",
        "a" + ".b" * 5_000,
        "import torch\na" + ".b" * 1_500,
        f"resize(x, resize_x={'-' * 1_500}1, resize_y=2)",
        "(" * 5_000,
    ],
)
def test_python_that_is_nested_very_deep_is_survived(tmp_path: Path, source: str) -> None:
    strangers.model(tmp_path, "deep", strangers.python("deep", "dynamic_batching {}"), {"model.py": source})
    assert "no-limit" in [each.rule for each in _examined(tmp_path)]


def test_a_broken_description_beside_a_plan_is_found_where_there_is_a_gpu(tmp_path: Path) -> None:
    config = 'name: "planned"\nplatform: "tensorrt_plan"\nmax_batch_size: 8\ndynamic_batching {}'
    strangers.model(tmp_path, "planned", config, {"model.plan": b"x"})
    (tmp_path / "planned/model.toml").write_text("broken")
    rules = [each.rule for each in _examined(tmp_path, Gpu("9.0", "10.3.0"))]
    assert sorted(rules) == ["foreign-plan", "missing-artefact"]


@pytest.mark.parametrize("sign", ["\f", "\u2028", "\x85", "\v"])
def test_a_sign_that_ends_a_line_elsewhere_ends_none_here(tmp_path: Path, sign: str) -> None:
    comments = f"# a{sign} page\n# {sign}{sign}\n"
    config = f'backend: "python"\n{comments}max_batch_size: 8\ndynamic_batching {{ }}\nwrong_field: 3\n'
    strangers.model(tmp_path, "net", config, {"model.py": ""})
    found = _examined(tmp_path)
    assert [(each.rule, each.line) for each in found if each.severity == "error"] == [("unknown-field", 6)]
    assert "no-batches" not in [each.rule for each in found]


def test_a_data_type_without_a_name_is_told_by_its_number(tmp_path: Path) -> None:
    strangers.naive(tmp_path)
    (tmp_path / "network/config.pbtxt").write_text(
        strangers.NETWORK_CONFIG.replace("TYPE_FP32 dims: [ 3", "99 dims: [ 3")
    )
    told = "pixels is FP32[-1, 3, 224, 224] where it is made and 99[-1, 3, 224, 224] where it is read"
    assert told in [each.what for each in _examined(tmp_path)]
