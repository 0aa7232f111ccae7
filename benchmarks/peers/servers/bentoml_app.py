"""BentoML: the photograph is a file of a form; requests are batched adaptively."""

from __future__ import annotations

import os

import bentoml
from classifier import Classifier, pixels
from PIL.Image import Image


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]), logging={"access": {"enabled": False}})
class Photographs:
    def __init__(self) -> None:
        self._classifier = Classifier()

    @bentoml.api(batchable=True, max_batch_size=8)
    def classify(self, images: list[Image]) -> list[dict[str, float]]:
        found = [self._classifier.best(pixels(image)) for image in images]
        return [{"index": index, "score": score} for index, score in found]
