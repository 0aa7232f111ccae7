"""DALI on the GPU makes the training code's pixels, leaves them there, and survives bad images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from fovea_pipelines import reference
from fovea_pipelines.dali_executor import DaliGpuExecutor, Device, OnDevice, Undecodable
from fovea_pipelines.dali_graph import OnGpu
from fovea_pipelines.gpu import device_tensor, found
from fovea_pipelines.gpu.device_tensor import CUDA
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import corpus, skew
from fovea_pipelines.parity.corpus import PHOTOGRAPHS, Specimen
from fovea_pipelines.parity.executors import DaliGpu

DECODERS = {"engines": 1.0, "kernels": 0.0, "both": 0.65}


def _device(decoder: str) -> Device:
    return Device(decoding=OnGpu(hardware_load=DECODERS[decoder]))


def _array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_kind_of_image_is_within_the_models_limits(
    package: ModelPackage, images: list[bytes], decoder: str
) -> None:
    def specimens() -> Iterator[Specimen]:
        yield from corpus.generated()
        for place, content in enumerate(images[:40]):
            yield Specimen(f"photograph {place}", (PHOTOGRAPHS,), content)

    gpu = DaliGpu(package.contract, max_batch=16, device=_device(decoder))
    report = skew.run(package, specimens(), {"dali-gpu": gpu})
    assert report.passed, "\n".join(report.failures())


@pytest.mark.parametrize("decoder", DECODERS)
def test_one_bad_image_hurts_nobody_else(package: ModelPackage, espresso: bytes, decoder: str) -> None:
    table = espresso.index(b"\xff\xc4") + 5
    damaged = espresso[:table] + b"\xff" + espresso[table + 1 :]
    batch = [espresso, damaged, espresso, b"no image", espresso[:20_000], espresso[:-2_000], espresso]
    executor = DaliGpuExecutor(package.contract, 8, 4, _device(decoder))
    for _ in range(3):
        results = executor.run([_array(content) for content in batch])
        good = [isinstance(result, OnDevice) for result in results]
        assert good == [True, False, True, False, False, False, True]
        assert all(isinstance(results[place], Undecodable) for place in (1, 3, 4, 5))


def test_the_pixels_stay_on_the_gpu_one_image_after_the_other(package: ModelPackage, espresso: bytes) -> None:
    results = DaliGpuExecutor(package.contract, 8, 4).run([_array(espresso)] * 5)
    tensors = [result.pixels for result in results if isinstance(result, OnDevice)]
    assert [tensor.device for tensor in tensors] == [(CUDA, 0)] * 5
    together = device_tensor.joined(tensors)
    assert together is not None
    assert together.shape == (5, 224, 224, 3)


def test_quality_is_measured_as_on_the_cpu(package: ModelPackage, espresso: bytes) -> None:
    from PIL import Image

    from fovea_pipelines import quality

    (result,) = DaliGpuExecutor(package.contract, 1, 1).run([_array(espresso)])
    assert isinstance(result, OnDevice)
    expected = quality.of_luma(np.asarray(Image.fromarray(reference.pixels(espresso, package.contract)).convert("L")))
    np.testing.assert_allclose(result.quality, expected, rtol=0.05)


def test_a_batch_of_very_large_images_does_not_take_all_memory(package: ModelPackage, espresso: bytes) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(espresso)).resize((8000, 6000)).save(buffer, "JPEG", quality=80)
    before = found.load().memory
    results = DaliGpuExecutor(package.contract, 64, 8).run([_array(buffer.getvalue())] * 64)
    assert all(isinstance(result, OnDevice) for result in results)
    assert found.load().memory - before < 8 << 30
