"""What people say of their preprocessing is read as it is meant, or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import small_networks

from fovea_pipelines.adding.contract_file import read
from fovea_pipelines.errors import BadContract


def test_a_toml_of_both_tables_is_read(tmp_path: Path) -> None:
    (tmp_path / "contract.toml").write_text(small_networks.CONTRACT)
    source = read(str(tmp_path / "contract.toml"))
    assert (source.contract.resize_to, source.contract.output_width) == (40, 32)
    assert source.mean == (123.675, 116.28, 103.53)


@pytest.mark.parametrize(("said", "expected"), [("", None), ("true", True), ("false", False)])
def test_what_is_said_of_large_photographs_is_heeded(tmp_path: Path, said: str, expected: bool | None) -> None:
    line = f"scaled_decode = {said}\n" if said else ""
    (tmp_path / "contract.toml").write_text(small_networks.CONTRACT.replace("[contract]\n", f"[contract]\n{line}"))
    assert read(str(tmp_path / "contract.toml")).scaled_decode is expected


def test_json_of_hugging_face_and_of_timm_is_told_apart(tmp_path: Path) -> None:
    vit = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 224, "width": 224},
        "resample": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    timm = {
        "architecture": "resnet50",
        "pretrained_cfg": {
            "input_size": [3, 224, 224],
            "interpolation": "bicubic",
            "crop_pct": 0.875,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
    }
    kernels = []
    for document in (vit, timm):
        (tmp_path / "config.json").write_text(json.dumps(document))
        kernels.append(read(str(tmp_path / "config.json")).contract.kernel)
    assert kernels == ["bilinear", "bicubic"]


def test_ultralytics_is_a_word_and_a_size() -> None:
    assert read("ultralytics:classify:64").contract.output_height == 64


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "[contract", "is not TOML"),
        ("a.toml", "[contract]", r"lacks a table \[normalisation\]"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[]", "holds no JSON object"),
        ("a.json", "{}", "is neither a preprocessor_config.json"),
        ("a.json", '{"pretrained_cfg": null}', "is neither a preprocessor_config.json"),
        ("a.json", '{"pretrained_cfg": "resnet50"}', "is neither a preprocessor_config.json"),
        (
            "a.toml",
            small_networks.CONTRACT.replace("123.675, 116.28, 103.53", "0.485, 0.456, 0.406").replace(
                "58.395, 57.12, 57.375", "0.229, 0.224, 0.225"
            ),
            "are of pixels from 0 to 1",
        ),
        ("a.toml", small_networks.CONTRACT + '\norder = "BGR"\nrescale = 3\n', "unknown settings: order, rescale"),
    ],
)
def test_what_says_nothing_or_the_wrong_thing_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadContract, match=message):
        read(str(tmp_path / name))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(BadContract, match=r"nowhere\.toml cannot be read: No such file"):
        read("nowhere.toml")
    with pytest.raises(BadContract, match="write ultralytics:classify:224"):
        read("ultralytics:classify")
