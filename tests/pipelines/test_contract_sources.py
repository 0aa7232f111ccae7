"""Descriptions people have become contracts, and what no contract says is refused by name."""

from __future__ import annotations

import enum
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fovea_pipelines.contract_sources import (
    Source,
    from_huggingface,
    from_timm,
    from_torchvision,
    from_ultralytics,
)
from fovea_pipelines.errors import BadContract

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
IN_PIXELS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
HALF = [0.5, 0.5, 0.5]


class InterpolationMode(enum.Enum):
    """As torchvision's."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def _geometry(source: Source) -> tuple[object, ...]:
    contract = source.contract
    assert (contract.orientation, contract.colour) == ("apply", "RGB")
    output = contract.output_height, contract.output_width
    return contract.resize, contract.resize_to, contract.crop, output, contract.kernel, contract.antialias


def _normalises(source: Source, mean: Any, std: Any) -> None:
    assert source.mean == pytest.approx(mean)
    assert source.std == pytest.approx(std)


# torchvision


def _preset(crop: int, resize: int, kernel: InterpolationMode, /, **changes: object) -> SimpleNamespace:
    given: dict[str, Any] = {
        "crop_size": [crop],
        "resize_size": [resize],
        "interpolation": kernel,
        "antialias": True,
        **{name: list(values) for name, values in IMAGENET.items()},
    }
    return SimpleNamespace(**{**given, **changes})


@pytest.mark.parametrize(
    ("crop", "resize", "interpolation"),
    [
        pytest.param(224, 256, InterpolationMode.BILINEAR, id="ResNet50_Weights.IMAGENET1K_V1, ViT_B_16"),
        pytest.param(224, 232, InterpolationMode.BILINEAR, id="ResNet50_Weights.IMAGENET1K_V2"),
        pytest.param(384, 384, InterpolationMode.BICUBIC, id="ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1"),
        pytest.param(224, 256, InterpolationMode.BICUBIC, id="EfficientNet_B0_Weights.IMAGENET1K_V1"),
        pytest.param(240, 255, InterpolationMode.BILINEAR, id="EfficientNet_B1_Weights.IMAGENET1K_V2"),
        pytest.param(300, 320, InterpolationMode.BICUBIC, id="EfficientNet_B3_Weights.IMAGENET1K_V1"),
    ],
)
def test_a_torchvision_preset_resizes_the_short_side(crop: int, resize: int, interpolation: InterpolationMode) -> None:
    source = from_torchvision(_preset(crop, resize, interpolation))
    assert _geometry(source) == ("short_side", resize, "centre", (crop, crop), interpolation.value, True)
    _normalises(source, *IN_PIXELS)


@pytest.mark.parametrize("flag", [True, False, None, "warn"])
def test_torchvision_antialiases_pil_images_whatever_the_flag_says(flag: object) -> None:
    assert from_torchvision(_preset(224, 256, InterpolationMode.BILINEAR, antialias=flag)).contract.antialias


@pytest.mark.parametrize("interpolation", [InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT])
def test_both_of_torchvisions_nearest_are_pillows(interpolation: InterpolationMode) -> None:
    assert _geometry(from_torchvision(_preset(224, 256, interpolation)))[-2:] == ("nearest", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": InterpolationMode.BOX}, "interpolation is 'box'; supported: 'nearest'"),
        ({"interpolation": InterpolationMode.HAMMING}, "interpolation is 'hamming'"),
        ({"interpolation": 2}, "interpolation is 2"),
        ({"crop_size": [112, 112]}, r"crop_size is \[112, 112\]; supported: one number"),
        ({"resize_size": [128, 171]}, r"resize_size is \[128, 171\]"),
        ({"crop_size": [224.0]}, r"crop_size is 224\.0; supported: a whole number"),
        ({"resize_size": [200]}, "crops 224x224"),
        ({"mean": [0.5]}, r"mean is \[0\.5\]; supported: three numbers"),
        ({"std": [0.2, 0.2, 0]}, r"std is \[0\.2, 0\.2, 0\]; supported: three numbers above 0"),
        ({"std": [0.2, 0.2, math.nan]}, "std is"),
    ],
)
def test_torchvision_settings_the_contract_lacks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadContract, match=message):
        from_torchvision(_preset(224, 256, InterpolationMode.BILINEAR, **changes))


def test_another_preset_of_torchvision_is_refused_for_what_it_lacks() -> None:
    class ObjectDetection: ...

    with pytest.raises(BadContract, match="torchvision's ObjectDetection lacks: resize_size, crop_size, interpolation"):
        from_torchvision(ObjectDetection())


# timm

TIMM: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
    **IMAGENET,
}


@pytest.mark.parametrize(
    ("changes", "resize_to"),
    [
        # 224 / 0.95 is 235.8, and timm floors it.
        pytest.param({"crop_pct": 0.95}, 235, id="resnet50.a1_in1k"),
        pytest.param({"crop_pct": 0.875}, 256, id="efficientnet_b0.ra_in1k"),
        pytest.param({"crop_pct": 0.9}, 248, id="vit_base_patch16_224.augreg2_in21k_ft_in1k"),
        pytest.param({"crop_pct": 1.0}, 224, id="everything"),
    ],
)
def test_timm_floors_the_short_side(changes: dict[str, Any], resize_to: int) -> None:
    source = from_timm({**TIMM, **changes})
    assert _geometry(source) == ("short_side", resize_to, "centre", (224, 224), "bicubic", True)
    _normalises(source, *IN_PIXELS)


@pytest.mark.parametrize(
    ("input_size", "crop_pct", "resize_to", "crop"),
    [
        pytest.param((3, 384, 384), 1.0, (384, 384), "none", id="vit_large_patch14_clip_336, without a crop"),
        pytest.param((3, 384, 384), 0.95, (404, 404), "centre", id="with a crop"),
        pytest.param((3, 240, 320), 0.9, (266, 355), "centre", id="not square"),
    ],
)
def test_timm_squashes_each_side(
    input_size: tuple[int, int, int], crop_pct: float, resize_to: tuple[int, int], crop: str
) -> None:
    source = from_timm({**TIMM, "input_size": input_size, "crop_pct": crop_pct, "crop_mode": "squash"})
    assert _geometry(source) == ("exact", resize_to, crop, input_size[1:], "bicubic", True)


def test_a_pretrained_config_of_timm_says_more_than_pixels() -> None:
    pretrained = {
        **TIMM,
        "url": "",
        "num_classes": 1000,
        "pool_size": [7, 7],
        "classifier": "fc",
        "test_input_size": [3, 288, 288],
        "test_crop_pct": 1.0,
        "license": "apache-2.0",
    }
    del pretrained["crop_mode"]
    assert from_timm(pretrained) == from_timm(TIMM)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_mode": "border"}, "crop_mode is 'border'; supported: 'center', 'squash'"),
        ({"input_size": (3, 224, 320)}, r"input_size is \(3, 224, 320\); supported: a square"),
        ({"input_size": (1, 28, 28)}, r"input_size is \(1, 28, 28\); supported: \(3, height, width\)"),
        ({"input_size": 224}, "input_size is 224"),
        ({"interpolation": "random"}, "interpolation is 'random'; supported: 'nearest', 'bilinear'"),
        ({"interpolation": "box"}, "interpolation is 'box'"),
        ({"crop_pct": 1.1}, r"crop_pct is 1\.1; supported: a number above 0, at most 1"),
        ({"crop_pct": None}, "crop_pct is None"),
        ({"crop_border_pixels": 4}, "crop_border_pixels is 4; supported: leaving it out"),
        ({"naflex": True}, "naflex is True"),
        ({"mean": (0.5,)}, r"mean is \(0\.5,\)"),
    ],
)
def test_timm_settings_the_contract_lacks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadContract, match=message):
        from_timm({**TIMM, **changes})


def test_timm_keys_that_are_missing_are_named() -> None:
    with pytest.raises(BadContract, match="timm's config lacks: crop_pct, std"):
        from_timm({name: value for name, value in TIMM.items() if name not in {"crop_pct", "std"}})


# Hugging Face

VIT: dict[str, Any] = {  # google/vit-base-patch16-224
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": HALF,
    "image_std": HALF,
}
CONVNEXT: dict[str, Any] = {  # facebook/convnext-tiny-224 and microsoft/resnet-50
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "image_mean": list(IMAGENET["mean"]),
    "image_std": list(IMAGENET["std"]),
    "resample": 3,
    "size": 224,
}
CLIP: dict[str, Any] = {  # openai/clip-vit-base-patch32
    "feature_extractor_type": "CLIPFeatureExtractor",
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}
EFFICIENTNET: dict[str, Any] = {  # google/efficientnet-b0
    "image_processor_type": "EfficientNetImageProcessor",
    "crop_size": {"height": 289, "width": 289},
    "do_center_crop": False,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": list(IMAGENET["mean"]),
    "image_std": [0.47853944, 0.4732864, 0.47434163],
    "include_top": True,
    "resample": 0,
    "rescale_factor": 0.00392156862745098,
    "rescale_offset": False,
    "size": {"height": 224, "width": 224},
}
DEIT: dict[str, Any] = {  # facebook/deit-base-distilled-patch16-224
    **{name: value for name, value in CLIP.items() if not name.startswith("image")},
    "feature_extractor_type": "DeiTFeatureExtractor",
    "image_mean": list(IMAGENET["mean"]),
    "image_std": list(IMAGENET["std"]),
    "size": 256,
}


def test_a_vit_of_hugging_face_is_resized_exactly() -> None:
    source = from_huggingface(VIT)
    assert _geometry(source) == ("exact", (224, 224), "none", (224, 224), "bilinear", True)
    _normalises(source, (127.5,) * 3, (127.5,) * 3)


@pytest.mark.parametrize("name", ["ViTFeatureExtractor", "ViTImageProcessorFast", "ViTImageProcessorPil"])
def test_an_image_processor_has_several_names_and_a_square_size(name: str) -> None:
    assert from_huggingface({**VIT, "image_processor_type": name, "size": 224}) == from_huggingface(VIT)


def test_a_convnext_below_384_is_resized_by_crop_pct_and_cropped() -> None:
    source = from_huggingface(CONVNEXT)
    assert _geometry(source) == ("short_side", 256, "centre_down", (224, 224), "bicubic", True)
    _normalises(source, *IN_PIXELS)
    assert from_huggingface({**CONVNEXT, "size": {"shortest_edge": 224}}) == source


def test_a_convnext_from_384_on_is_resized_exactly() -> None:
    source = from_huggingface({**CONVNEXT, "size": {"shortest_edge": 384}})
    assert _geometry(source) == ("exact", (384, 384), "none", (384, 384), "bicubic", True)


def test_a_clip_is_cropped_from_the_short_side_its_margin_halved_down() -> None:
    source = from_huggingface(CLIP)
    assert _geometry(source) == ("short_side", 224, "centre_down", (224, 224), "bicubic", True)
    _normalises(source, (122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232))
    newer = {**CLIP, "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "do_rescale": True}
    assert from_huggingface({**newer, "do_convert_rgb": True, "_valid_processor_keys": ["images"]}) == source


def test_an_efficientnet_with_its_top_is_divided_by_its_deviation_twice() -> None:
    source = from_huggingface(EFFICIENTNET)
    assert _geometry(source) == ("exact", (224, 224), "none", (224, 224), "nearest", False)
    _normalises(source, *IN_PIXELS)
    headless = from_huggingface({**EFFICIENTNET, "include_top": False})
    _normalises(headless, IN_PIXELS[0], [value * 255 for value in EFFICIENTNET["image_std"]])


def test_a_deit_is_resized_exactly_and_then_cropped() -> None:
    source = from_huggingface(DEIT)
    assert _geometry(source) == ("exact", (256, 256), "centre_down", (224, 224), "bicubic", True)


def test_without_normalisation_pixels_are_only_rescaled() -> None:
    bare = {name: value for name, value in VIT.items() if not name.startswith("image_m") and name != "image_std"}
    _normalises(from_huggingface({**bare, "do_normalize": False}), (0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (
            VIT,
            {"image_processor_type": "PoolFormerImageProcessor"},
            "image_processor_type is 'PoolFormerImageProcessor'",
        ),
        (VIT, {"image_processor_type": "ViT"}, "image_processor_type is 'ViT'; supported: BeitImageProcessor"),
        (VIT, {"image_processor_type": None}, "lacks: image_processor_type"),
        (VIT, {"do_resize": False}, "do_resize is False; supported: True"),
        (VIT, {"do_resize": "yes"}, "do_resize is 'yes'"),
        (VIT, {"do_rescale": False}, "do_rescale is False"),
        (VIT, {"rescale_factor": 1 / 127.5}, r"rescale_factor is 0\.0078.*; supported: 1/255"),
        (VIT, {"rescale_factor": None}, "rescale_factor is None"),
        (
            VIT,
            {"resample": 4},
            r"resample is 4; supported: 0 \(nearest\), 1 \(lanczos\), 2 \(bilinear\), 3 \(bicubic\)",
        ),
        (VIT, {"resample": 5}, "resample is 5"),
        (VIT, {"resample": True}, "resample is True"),
        (VIT, {"size": [224, 224]}, r"size is \[224, 224\]; supported: n"),
        (VIT, {"size": {"longest_edge": 224}}, r"size is \{'longest_edge': 224\}"),
        (VIT, {"size": {"shortest_edge": 224, "longest_edge": 300}}, "size is"),
        (VIT, {"size": {"shortest_edge": 224}}, "size is .*; supported: a height and a width, or do_center_crop"),
        (VIT, {"size": 224, "default_to_square": False}, "default_to_square is False; supported: True, or a size that"),
        (CLIP, {"size": 224, "default_to_square": True}, "default_to_square is True; supported: False"),
        (VIT, {"image_mean": 0.5}, r"image_mean is 0\.5"),
        (VIT, {"do_flip_channel_order": True}, "do_flip_channel_order is True; supported: False"),
        (VIT, {"do_grayscale": True}, "do_grayscale is True"),
        (VIT, {"do_pad": True}, "do_pad is True"),
        (VIT, {"tubelet_size": [2, 16, 16]}, r"tubelet_size is \[2, 16, 16\]"),
        (VIT, {"include_top": True}, "include_top is True"),
        (EFFICIENTNET, {"rescale_offset": True}, "rescale_offset is True; supported: False"),
        (EFFICIENTNET, {"image_std": [1, 1, 0]}, r"image_std is \[1, 1, 0\]"),
        (CLIP, {"crop_size": [224, 224, 224]}, r"crop_size is \[224, 224, 224\]"),
        (CLIP, {"crop_size": {"shortest_edge": 224}}, "crop_size is"),
        (CLIP, {"crop_size": 256}, "crops 256x256"),
        (CONVNEXT, {"size": {"height": 224, "width": 224}}, r"supported: \{'shortest_edge': n\}"),
        (CONVNEXT, {"do_center_crop": True}, "do_center_crop is True"),
        (CONVNEXT, {"crop_pct": 1.5}, r"crop_pct is 1\.5"),
    ],
)
def test_hugging_face_settings_the_contract_lacks_are_refused(
    config: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadContract, match=message):
        from_huggingface({**config, **changes})


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        *((VIT, name) for name in ("size", "resample", "image_mean", "image_std", "image_processor_type")),
        (CLIP, "crop_size"),
        (CONVNEXT, "crop_pct"),
        (EFFICIENTNET, "image_std"),
    ],
)
def test_hugging_face_keys_that_are_missing_are_named(config: dict[str, Any], missing: str) -> None:
    with pytest.raises(BadContract, match=f"lacks: .*{missing}"):
        from_huggingface({name: value for name, value in config.items() if name != missing})


# Ultralytics


def test_an_ultralytics_detector_sees_a_letterbox() -> None:
    source = from_ultralytics(640, task="detect")
    assert _geometry(source) == ("letterbox", None, "none", (640, 640), "bilinear", False)
    assert source.contract.fill == (114, 114, 114)
    assert (source.mean, source.std) == ((0, 0, 0), (255, 255, 255))
    assert _geometry(from_ultralytics((384, 640), task="detect"))[3] == (384, 640)


def test_an_ultralytics_classifier_sees_the_centre() -> None:
    source = from_ultralytics(224, task="classify")
    assert _geometry(source) == ("short_side", 224, "centre", (224, 224), "bilinear", True)
    assert (source.mean, source.std) == ((0, 0, 0), (255, 255, 255))
    oblong = from_ultralytics((224, 320), task="classify")
    assert _geometry(oblong) == ("exact", (224, 320), "none", (224, 320), "bilinear", True)


@pytest.mark.parametrize(
    ("imgsz", "task", "message"),
    [
        (640, "segment", "task is 'segment'; supported: 'classify', 'detect'"),
        (650, "detect", "imgsz is 650; supported: multiples of 32, the next is 672"),
        ((640, 640, 3), "detect", r"imgsz is \(640, 640, 3\); supported: a number of pixels"),
        (224.5, "classify", r"imgsz is 224\.5"),
        (0, "classify", "imgsz is 0"),
        (8000, "classify", "8000"),
    ],
)
def test_ultralytics_settings_the_contract_lacks_are_refused(imgsz: Any, task: str, message: str) -> None:
    with pytest.raises(BadContract, match=message):
        from_ultralytics(imgsz, task=task)


def test_the_orientation_is_for_the_caller_to_change() -> None:
    source = from_ultralytics(224, task="classify")
    assert replace(source.contract, orientation="ignore").orientation == "ignore"
