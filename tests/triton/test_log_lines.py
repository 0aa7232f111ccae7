"""Tritonserver's log is read line by line; tables and blank lines are not events."""

from __future__ import annotations

import pytest

from fovea_server.triton.log_lines import LogLine, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'I1120 22:00:50.153194 4289 grpc_server.cc:2558] "Started GRPCInferenceService at 127.0.0.1:8001"',
            LogLine("debug", "Started GRPCInferenceService at 127.0.0.1:8001", "grpc_server.cc:2558"),
        ),
        (
            "E1120 21:57:31.942633 3658 model_lifecycle.cc:642] \"failed to load 'preprocess_224' version 1\"",
            LogLine("error", "failed to load 'preprocess_224' version 1", "model_lifecycle.cc:642"),
        ),
        (
            'W1120 21:57:31.945566 3658 metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
            LogLine("debug", "DCGM unable to start: DCGM initialization error", "metrics.cc:798"),
        ),
        (
            "error: creating server: Invalid",
            LogLine("error", "error: creating server: Invalid", None),
        ),
        ("\x1b[0;31m[ERROR] \x1b[0m[libjpeg] bad", LogLine("debug", "[ERROR] [libjpeg] bad", None)),
        ("+------+------+", None),
        ("| Model | Version |", None),
        ("   \n", None),
    ],
)
def test_each_kind_of_line(line: str, expected: LogLine | None) -> None:
    assert parse(line) == expected
