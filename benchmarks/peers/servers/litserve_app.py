"""LitServe: the photograph is a file of a form; requests are batched."""

import os

import litserve
from classifier import Classifier, pixels
from fastapi import Request


class Photographs(litserve.LitAPI):
    def setup(self, device):
        self._classifier = Classifier()

    def decode_request(self, request: Request):
        return pixels(request["image"].file.read())

    def predict(self, images):
        return [self._classifier.best(image) for image in images]

    def encode_response(self, output):
        index, score = output
        return {"index": index, "score": score}


if __name__ == "__main__":
    api = Photographs(max_batch_size=8, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["PEER_WORKERS"]))
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
