"""OpenVINO, whose import tells Google Analytics that it happened, and writes to ~/intel, unless it finds no telemetry.

Import `ov` from here, and nothing of openvino before it.
"""

from __future__ import annotations

import sys

# An import of it then fails as if it were not installed, and OpenVINO and NNCF do without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

__all__ = ["ov"]
