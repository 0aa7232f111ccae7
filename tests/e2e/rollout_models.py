"""The models of the rollout's story: two real variants of the default model, and one that is damaged on purpose."""

from __future__ import annotations

from pathlib import Path

from fovea_pipelines.adding import variant
from fovea_pipelines.adding.add import Places
from fovea_pipelines.package import ModelPackage
from fovea_server.cli import models_add

# One image in ten, by its bytes, always the same ones; the golden image, which every model must answer, is not one.
_DAMAGED = """\
import zlib

import triton_python_backend_utils as pb_utils
from fovea_pipelines.triton_models import DecodeAndInfer, images_of


class TritonPythonModel(DecodeAndInfer):
    def execute(self, requests):
        answers = super().execute(requests)
        return [_damaged() if _is_hit(request) else answer for request, answer in zip(requests, answers)]


def _damaged():
    # One for each request: see `_failure` of triton_models.py.
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("damaged on purpose"))


def _is_hit(request):
    return any(zlib.crc32(image.tobytes()) % 10 == 3 for image in images_of(request))
"""


def add_variant(package: ModelPackage, precision: str, name: str, state: Path) -> None:
    """As `fovea models variant` does, into the running server."""
    made = variant.add(package, precision, name, Places(package.folder.parent, state / "models"))
    models_add.take_into_service(made, state)


def add_damaged(package: ModelPackage, name: str, state: Path) -> None:
    """A copy that fails on one image in ten."""
    made = variant.add(package, "f32", name, Places(package.folder.parent, state / "models"))
    (made.folder.with_name(made.ensemble) / "1/model.py").write_text(_DAMAGED)
    models_add.take_into_service(made, state)
