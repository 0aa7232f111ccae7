"""What the scripted server says of an image and of its models; numbers are exact in single precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DIGEST = "sha256:" + "0" * 64

# The model that only embeds.
EMBEDDER = "embedder"

MODEL = {
    "name": "efficientnet_lite0",
    "version": "1",
    "digest": DIGEST,
    "description": "ImageNet",
    "licence": "Apache-2.0",
    "labels": 1000,
    "features": 1280,
    "engine": "openvino int8",
    "default": True,
}


def classification(image: bytes, request_id: str, top_k: int, embedding: bool, model: str) -> dict[str, Any]:
    return {**_of_image(image, request_id), **_of_model(model or str(MODEL["name"]), top_k, embedding)}


def analysis(image: bytes, request_id: str, top_k: int, embedding: bool, models: Sequence[str]) -> dict[str, Any]:
    results = [
        {**_of_model(model, top_k, embedding), "timings_ms": {"preprocess": 3.0, "model": 4.0 + place}}
        for place, model in enumerate(models)
    ]
    return {**_of_image(image, request_id), "results": results}


def _of_image(image: bytes, request_id: str) -> dict[str, Any]:
    return {
        "id": request_id,
        "image": {"format": "jpeg", "width": 640, "height": 480, "orientation": 1, "bytes": len(image)},
        "timings_ms": {"gateway": 0.5, "queue": 0.25, "preprocess": 3.0, "model": 4.0, "total": 7.75},
    }


def _of_model(name: str, top_k: int, embedding: bool) -> dict[str, Any]:
    only_embeds = name == EMBEDDER
    said: dict[str, Any] = {
        "model": {"name": name, "version": "1", "digest": DIGEST},
        "predictions": [
            {"label": f"class {n}", "index": n, "score": 0.5 ** (n + 1)} for n in range(0 if only_embeds else top_k)
        ],
        "quality": {"brightness": 0.5, "contrast": 0.25, "sharpness": 0.125},
    }
    return {**said, "embedding": [0.5, -0.25, 2.0]} if embedding or only_embeds else said
