"""MLServer: the photograph is base64 in a request of the V2 protocol; requests are batched adaptively."""

from __future__ import annotations

import numpy as np
from classifier import Classifier, pixels
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Photographs(MLModel):
    async def load(self) -> bool:
        self._classifier = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = Base64Codec.decode_input(payload.inputs[0])
        found = np.array([self._classifier.best(pixels(image)) for image in images])
        outputs = [
            NumpyCodec.encode_output("index", found[:, :1].astype(np.int64)),
            NumpyCodec.encode_output("score", found[:, 1:].astype(np.float32)),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
