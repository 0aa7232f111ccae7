"""Measure ranges on images, with NNCF (https://github.com/openvinotoolkit/nncf), of the extra [quantise]."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fovea_pipelines.errors import MissingArtefact
from fovea_pipelines.quantisation.ranges import Ranges


def calibrate(model: onnx.ModelProto, images: Sequence[NDArray[np.uint8]]) -> Ranges:
    """The ranges that `model` has on these pixels, UINT8 (height, width, 3), with bias correction (Nagel et al. 2019,
    arXiv:1906.04721). A hundred images or more, of all kinds that will be asked about."""
    nncf = _nncf()
    parameters = importlib.import_module("nncf.quantization.advanced_parameters")
    one_scale = parameters.QuantizationParameters(num_bits=8, per_channel=False)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantised = nncf.quantize(
        copy,
        nncf.Dataset([image[np.newaxis] for image in images], lambda pixels: {"PIXELS": pixels}),
        subset_size=len(images),
        # Symmetric weights, asymmetric activations.
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=False,
        advanced_parameters=parameters.AdvancedQuantizationParameters(activations_quantization_params=one_scale),
    )
    return Ranges.of(quantised, model)


def _nncf() -> Any:
    try:
        nncf = importlib.import_module("nncf")
    except ModuleNotFoundError as error:
        raise MissingArtefact(
            "calibrating needs the Python package nncf, which is not installed", "pip install 'fovea-server[quantise]'"
        ) from error
    nncf.set_log_level(logging.ERROR)
    return nncf
