"""What `fovea serve` is told of the log: numbers that it can keep to, or an error."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from fovea_server.cli import serve


@pytest.mark.parametrize(
    ("option", "value", "bound"),
    [
        ("--log-days", "36501", "36500"),
        ("--log-days", "inf", "36500"),
        ("--log-days", "-1", "0"),
        ("--capture-days", "1e6", "36500"),
        ("--log-max-gb", "1e300", "1000000"),
        ("--log-max-gb", "inf", "1000000"),
        ("--log-max-gb", "0", "0.001"),
        *((option, "nan", "") for option in ("--log-days", "--capture-days", "--log-max-gb", "--capture")),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_bound(option: str, value: str, bound: str) -> None:
    app = typer.Typer()
    app.command()(serve.serve)
    result = CliRunner().invoke(app, [option, value], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert option in result.stderr
    assert bound in result.stderr
    assert "Traceback" not in result.output
