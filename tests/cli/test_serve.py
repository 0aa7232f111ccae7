"""How `fovea serve` is told what to do, and what it says when it is ready: lines that can be pasted as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from fovea_server.cli import serve
from fovea_server.edge.listen import EdgeSettings
from fovea_server.settings import Settings


def test_every_option_but_the_one_that_opens_the_doors_may_be_in_the_environment() -> None:
    app = typer.Typer()
    app.command()(serve.serve)
    variables = {param.name: param.envvar for param in typer.main.get_command(app).params}
    assert {name for name, variable in variables.items() if not variable} <= {
        *("insecure", "help", "install_completion", "show_completion")
    }
    assert all(variable == f"FOVEA_{name}".upper() for name, variable in variables.items() if variable)


@pytest.mark.parametrize(
    ("host", "rest", "grpc"),
    [
        ("127.0.0.1", "http://127.0.0.1:1", "127.0.0.1:2"),
        ("0.0.0.0", "http://127.0.0.1:1", "127.0.0.1:2"),  # noqa: S104
        ("::", "http://[::1]:1", "[::1]:2"),
        ("::1", "http://[::1]:1", "[::1]:2"),
        ("fovea.example", "http://fovea.example:1", "fovea.example:2"),
    ],
)
def test_the_addresses_it_names_can_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, rest: str, grpc: str
) -> None:
    serve._say_where(Settings(tmp_path, tmp_path, EdgeSettings(host, 1, 2)))
    first, curl, docs = capsys.readouterr().out.splitlines()
    assert f"REST {rest} " in first
    assert f"gRPC {grpc} " in first
    assert curl.endswith(f" {rest}/v1/classify")
    assert docs.split() == [f"{rest}/docs", f"{rest}/live"]
