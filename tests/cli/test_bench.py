"""`fovea bench` as a person or a script meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from tests.client.scripted import Answered, Refused, Script, grpc_server, http_server
from typer.testing import CliRunner, Result

from fovea_client.load import Load
from fovea_server.cli import bench_lines
from fovea_server.cli.bench import bench
from fovea_server.cli.bench_lines import Plan, Session
from fovea_server.errors import Busy, Unauthenticated

app = typer.Typer()
app.command()(bench)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"x" * (number + 1))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--seconds", "0.4", "--warm-up", "0"])


def test_closed_and_open_loops_have_a_line_each(folder: Path) -> None:
    with http_server(Script()) as url:
        result = run("--url", url, "--images", str(folder), "-c", "1,2", "-r", "40")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head.split()[:3] == ["protocol", "load", "images/s"]
    assert [line.split("  ")[0].strip() for line in lines] == ["REST"] * 3
    assert ["1 at once" in lines[0], "2 at once" in lines[1], "40/s" in lines[2]] == [True] * 3


def test_the_document_says_what_was_sent_and_measured(folder: Path) -> None:
    script = Script()
    with http_server(script) as url:
        result = run("--url", url, "--images", str(folder), "-r", "50", "--json")
    document = json.loads(result.stdout)
    assert (document["photographs"]["count"], document["complete"]) == (3, True)
    (line,) = document["lines"]
    assert (line["protocol"], line["rate"], line["served"], line["errors"]) == ("REST", 50.0, 20, {})
    assert {asked.image for asked in script.asked} == {b"x", b"xx", b"xxx"}


def test_grpc_is_measured_beside_rest_or_alone(folder: Path) -> None:
    with http_server(Script()) as url, grpc_server(Script()) as target:
        both = run("--url", url, "--grpc", target, "--images", str(folder), "-r", "20", "--json")
        alone = run("--url", f"grpc://{target}", "--images", str(folder), "-r", "20", "--json")
    assert [line["protocol"] for line in json.loads(both.stdout)["lines"]] == ["REST", "gRPC"]
    assert [line["protocol"] for line in json.loads(alone.stdout)["lines"]] == ["gRPC"]


def test_what_is_no_certificate_is_a_mistake(folder: Path) -> None:
    result = run("--url", "https://127.0.0.1:1", "--ca-file", str(folder / "0.jpg"), "--images", str(folder))
    assert result.exit_code == 2
    assert "the certificates cannot be used" in result.stderr


def test_the_key_goes_with_each_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_API_KEY", "fovea_a_b")
    rest, grpc = Script(), Script()
    with http_server(rest) as url, grpc_server(grpc) as target:
        assert run("--url", url, "--grpc", target, "--images", str(folder), "-r", "20").exit_code == 0
    assert {asked.authorization for asked in (*rest.asked, *grpc.asked)} == {"Bearer fovea_a_b"}


def test_errors_are_counted_by_their_reason(folder: Path) -> None:
    script = Script(Refused(Busy("full")), Refused(Busy("full")), Answered())
    with http_server(script) as url:
        result = run("--url", url, "--images", str(folder), "-r", "20")
    assert result.exit_code == 0
    assert "REST, 20/s: 2 x HTTP 429 BUSY" in result.stdout


def test_the_golden_image_is_sent_where_no_photographs_are_named(espresso: bytes) -> None:
    script = Script()
    with http_server(script) as url:
        result = run("--url", url, "-r", "10")
    assert result.exit_code == 0
    assert {asked.image for asked in script.asked} == {espresso}


def test_a_server_that_answers_no_image_is_said_with_its_reasons(folder: Path) -> None:
    with http_server(Script(Refused(Busy("full")))) as url:
        result = run("--url", url, "--images", str(folder), "-r", "10")
    assert result.exit_code == 1
    assert "no image was answered (4 x HTTP 429 BUSY)" in result.stderr


def test_a_server_that_wants_a_key_is_said_with_where_it_goes(folder: Path) -> None:
    with http_server(Script(Refused(Unauthenticated("show an API key")))) as url:
        result = run("--url", url, "--images", str(folder), "-r", "10")
    assert result.exit_code == 1
    assert "hint: set FOVEA_API_KEY" in result.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "grpc://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_one_sentence(folder: Path, url: str) -> None:
    result = run("--url", url, "--images", str(folder))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0] == "error: nothing answers on 127.0.0.1:1"


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_photographs_that_cannot_be_read_are_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run("--images", str(tmp_path / name))
    assert (result.exit_code, result.stdout) == (1, "")
    assert name in result.stderr.splitlines()[0]


@pytest.mark.parametrize(
    "arguments",
    [("--rate", "fast"), ("--rate", "0"), ("--connections", "1.5"), ("--url", "here"), ("--header", "no colon")],
)
def test_an_option_that_makes_no_sense_is_said(arguments: tuple[str, str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


def test_what_was_measured_before_the_server_went_away_is_kept(folder: Path) -> None:
    with http_server(Script()) as url:
        result = run("--url", url, "--grpc", "127.0.0.1:1", "--images", str(folder), "-r", "20", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (len(document["lines"]), document["complete"]) == (1, False)
    assert "nothing answers on 127.0.0.1:1" in result.stderr


def test_ctrl_c_ends_the_line_and_keeps_it(folder: Path) -> None:
    script = Script()
    with http_server(script) as url:
        fovea = str(Path(sys.executable).with_name("fovea"))
        process = subprocess.Popen(
            [fovea, "bench", "--url", url, "--images", str(folder), "-r", "20", "--json", "--warm-up", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 30
        while len(script.asked) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    document = json.loads(said)
    assert document["complete"] is False
    assert document["lines"][0]["served"] >= 4
    assert "interrupted" in complaint


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
@pytest.mark.parametrize("option", ["--seconds", "--warm-up"])
def test_a_time_without_an_end_is_refused_with_the_longest(folder: Path, option: str, value: str) -> None:
    words = ["--url", "http://127.0.0.1:1", "--images", str(folder), "--rate", "5", option, value]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2, result.exception
    assert "86400" in result.stderr or "nan is no number" in result.stderr


def test_a_reason_of_a_server_is_shown_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(plan: Plan) -> Session:
        load = Load("fovea", 1, 1.0, 1, 1, 1.0, 1.0, 1.0, 1.0, {"503 [/b]\x1b": 2}, 0.1, None)
        return Session([(plan.lines[0], load)])

    monkeypatch.setattr(bench_lines, "run", run)
    result = CliRunner().invoke(app, ["--url", "http://127.0.0.1:1", "--images", str(folder), "-c", "1"])
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stdout.splitlines()[-1] == r"REST, 1 at once: 2 x 503 [/b]\x1b"
