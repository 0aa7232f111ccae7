"""The format matrix says of each format who reads it, and how exactly."""

from __future__ import annotations

from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import matrix
from fovea_pipelines.parity.comparison import compare
from fovea_pipelines.parity.executors import DaliCpu


def test_each_format_has_a_row(package: ModelPackage) -> None:
    wanted = [each for each in matrix.specimens() if each.name in ("jpeg", "png, alpha", "gif", "png, animated")]
    engine = OpenVinoEngine(package.onnx.path, "f32", streams=1)
    outcomes = compare(wanted, {"dali-cpu": DaliCpu(package.contract)}, package.contract, engine)
    head, _, jpeg, alpha, gif, animated = matrix.markdown(outcomes).splitlines()
    assert head == "| format | reference | dali-cpu |"
    assert jpeg.startswith("| jpeg | reads | mean 0.")
    assert alpha.startswith("| png, alpha | reads | mean 0.")
    assert gif == "| gif | refuses | refuses: this is a GIF; served: JPEG, PNG, WebP, BMP |"
    assert animated.startswith("| png, animated | reads | refuses:")
