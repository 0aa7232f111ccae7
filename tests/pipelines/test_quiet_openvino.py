"""What serves tells nobody that it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

_SERVES = """
import sys
from fovea_pipelines import openvino_engine
from fovea_pipelines.adding import checks
assert "openvino.tools.ovc" in sys.modules, "the test no longer sees what sends"
assert not any(name.split(".")[0] == "openvino_telemetry" and sys.modules[name] for name in sys.modules)
"""


def test_openvino_finds_no_telemetry_to_send(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _SERVES], env=environment, check=True, timeout=120)
    assert not (tmp_path / "intel").exists()
