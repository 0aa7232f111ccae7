"""GIF, TIFF, AVIF and HEIC are answered like the JPEG of the same picture, where they were asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from tests.e2e.served import Served, served
from tests.pipelines import other_images
from tests.ports import free_ports

from fovea_client import GrpcClient
from fovea_pipelines.package import ModelPackage


@pytest.fixture(scope="module")
def every_format(package: ModelPackage) -> Iterator[Served]:
    pytest.importorskip("pillow_heif")
    with served(free_ports(5), "--formats=gif,tiff,avif,heic") as server:
        yield server


@pytest.fixture(scope="module")
def pictures(espresso: bytes) -> dict[str, bytes]:
    picture = Image.open(io.BytesIO(espresso)).convert("RGB")
    return {
        "gif": other_images.saved(picture, "GIF"),
        "tiff": other_images.saved(picture, "TIFF", compression="tiff_lzw"),
        "avif": other_images.saved(picture, "AVIF", quality=85),
        "heic": other_images.heic(picture),
    }


@pytest.mark.parametrize("form", ["gif", "tiff", "avif", "heic"])
def test_a_picture_in_another_format_has_the_same_label(
    every_format: Served, pictures: dict[str, bytes], form: str
) -> None:
    answer = httpx.post(f"{every_format.url}/v1/classify", content=pictures[form], timeout=20)
    assert answer.status_code == 200, answer.text
    assert answer.json()["image"] | {"bytes": 0} == {
        "format": form, "width": 600, "height": 400, "orientation": 1, "bytes": 0
    }  # fmt: skip
    assert answer.json()["predictions"][0]["label"] == "espresso"
    with GrpcClient(every_format.grpc) as client:
        assert client.classify(pictures[form]).predictions[0].label == "espresso"


def test_a_damaged_one_is_refused_and_the_next_is_answered(every_format: Served, pictures: dict[str, bytes]) -> None:
    damaged = httpx.post(f"{every_format.url}/v1/classify", content=pictures["tiff"][: len(pictures["tiff"]) // 2])
    assert (damaged.status_code, damaged.json()["reason"]) == (422, "UNDECODABLE")
    sound = httpx.post(f"{every_format.url}/v1/classify", content=pictures["tiff"])
    assert sound.status_code == 200


def test_without_the_option_they_are_not_served(server: Served, pictures: dict[str, bytes]) -> None:
    for form, content in pictures.items():
        answer = httpx.post(f"{server.url}/v1/classify", content=content)
        assert (answer.status_code, answer.json()["reason"]) == (415, "FORMAT_NOT_SERVED"), form
