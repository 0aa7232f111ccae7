"""`fovea classify` as a person or a script meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.client.scripted import Answered, Refused, Script, Slow, grpc_server, http_server
from typer.testing import CliRunner, Result

from fovea_server.cli.classify import classify
from fovea_server.errors import Busy, Undecodable, UnknownModel

app = typer.Typer()
app.command()(classify)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for n in range(20):
        (tmp_path / f"{n:02}.jpg").write_bytes(b"x" * (n + 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(script: Script, *arguments: str, stdin: bytes | None = None) -> Result:
    with http_server(script) as url:
        return CliRunner().invoke(app, [*arguments, "--url", url], input=stdin)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_image_of_a_folder_gets_a_line_in_order(folder: Path) -> None:
    result = run(Script(), ".", "--json", "-j", "4")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line["path"] for line in lines(result)] == [f"./{n:02}.jpg" for n in range(20)]
    assert [line["image"]["bytes"] for line in lines(result)] == list(range(1, 21))


def test_what_is_left_out_of_a_folder_is_said_beside_the_answers(folder: Path) -> None:
    (folder / "below").mkdir()
    for name in ("a.txt", "b.TXT", "below/photograph", ".hidden.txt"):
        (folder / name).write_bytes(b"x")
    result = run(Script(), ".", "--json")
    assert len(lines(result)) == 20
    assert result.stderr == "left out of ., for they are not named like images: 2 .txt, 1 without a suffix\n"


def test_a_line_is_the_answer_as_it_is_on_the_wire(folder: Path) -> None:
    script = Script()
    (line,) = lines(run(script, "00.jpg", "--json", "--top-k", "1", "--model", "other"))
    assert list(line) == ["path", "id", "model", "predictions", "image", "quality", "timings_ms"]
    assert line["predictions"] == [{"label": "class 0", "index": 0, "score": 0.5}]
    assert (line["model"]["name"], line["id"]) == ("other", script.asked[0].request_id)


def test_the_embedding_is_in_the_line_when_asked_for(folder: Path) -> None:
    (line,) = lines(run(Script(), "00.jpg", "--json", "--embedding"))
    assert line["embedding"] == [0.5, -0.25, 2.0]


def test_a_person_gets_a_table(folder: Path) -> None:
    result = run(Script(), "00.jpg", "01.jpg")
    assert result.exit_code == 0
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["file", "label", "score", "next", "ms"]
    assert first.split()[:4] == ["00.jpg", "class", "0", "0.500"]
    assert (second.split()[0], second.split()[-1]) == ("01.jpg", "7.8")


def test_an_image_comes_from_stdin(folder: Path) -> None:
    script = Script()
    (line,) = lines(run(script, "-", "--json", stdin=b"\xff\xd8 not text"))
    assert (line["path"], script.asked[0].image) == ("-", b"\xff\xd8 not text")


def test_a_quoted_glob_is_expanded(folder: Path) -> None:
    assert [line["path"] for line in lines(run(Script(), "0[12].jpg", "--json"))] == ["01.jpg", "02.jpg"]


def test_the_address_may_be_in_the_environment(folder: Path) -> None:
    with grpc_server(Script()) as target:
        result = CliRunner().invoke(app, ["00.jpg", "--json"], env={"FOVEA_URL": f"grpc://{target}"})
    assert (result.exit_code, lines(result)[0]["predictions"][0]["label"]) == (0, "class 0")


def test_grpc_is_spoken_where_the_url_says_so(folder: Path) -> None:
    with grpc_server(Script()) as target:
        result = CliRunner().invoke(app, ["00.jpg", "--json", "--url", f"grpc://{target}"])
    assert (result.exit_code, lines(result)[0]["predictions"][0]["label"]) == (0, "class 0")


def test_a_bad_image_is_named_and_the_rest_are_answered(folder: Path) -> None:
    script = Script(by_image={b"xx": Refused(Undecodable("damaged after 3 rows"))})
    result = run(script, "00.jpg", "01.jpg", "02.jpg", "--json")
    assert result.exit_code == 1
    good, bad, better = lines(result)
    assert bad == {"path": "01.jpg", "error": {"reason": "UNDECODABLE", "detail": "damaged after 3 rows"}}
    assert ("error" in good, "error" in better) == (False, False)
    assert result.stderr == "error: 01.jpg: damaged after 3 rows (UNDECODABLE)\n"


def test_a_bad_image_has_its_place_in_the_table(folder: Path) -> None:
    result = run(Script(by_image={b"xx": Refused(Undecodable("damaged"))}), "00.jpg", "01.jpg")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[2].split() == ["01.jpg", "not", "answered:", "UNDECODABLE"]


def test_a_file_that_cannot_be_read_is_a_failed_image(folder: Path) -> None:
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    result = run(Script(), "00.jpg", "dangling.jpg", "--json")
    assert (result.exit_code, lines(result)[1]["error"]["reason"]) == (1, "UNREADABLE_FILE")


def test_a_file_whose_name_is_no_text_is_answered(folder: Path) -> None:
    name = b"caf\xe9 [red]\x1b]0;title\x07.jpg"
    (folder / name.decode(errors="surrogateescape")).write_bytes(b"x")
    table, line = (run(Script(), "caf*", *more) for more in ([], ["--json"]))
    assert (table.exit_code, r"caf\udce9 [red]\x1b]0;title\x07.jpg" in table.stdout) == (0, True)
    assert lines(line)[0]["path"] == name.decode(errors="surrogateescape")


def test_a_slow_image_fails_alone(folder: Path) -> None:
    result = run(Script(by_image={b"x": Slow()}), "00.jpg", "01.jpg", "--json", "--timeout", "0.3")
    assert result.exit_code == 1
    assert [line.get("error", {}).get("reason") for line in lines(result)] == ["DEADLINE_EXCEEDED", None]


def test_a_busy_server_is_asked_again(folder: Path) -> None:
    script = Script(Refused(Busy("busy", retry_after=0.01)), Answered())
    assert run(script, "00.jpg").exit_code == 0
    assert len(script.asked) == 2


def test_a_server_that_is_not_there_is_said_once(folder: Path) -> None:
    result = CliRunner().invoke(app, [".", "--json", "--url", "http://127.0.0.1:1"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "nothing answers on http://127.0.0.1:1" in result.stderr
    assert "fovea serve" in result.stderr


def test_a_model_that_is_not_there_is_said_once(folder: Path) -> None:
    result = run(Script(Refused(UnknownModel("no model 'cats'"))), ".", "-j", "2", "--model", "cats")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: no model 'cats'\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jpg"], "no such file, folder or glob: nowhere.jpg"),
        (["00.jpg", "*.tiff"], "no such file, folder or glob: *.tiff"),
        (["empty"], "no images in empty"),
        (["00.jpg", "--url", "localhost:8080"], "'localhost:8080' is not an address"),
        (["00.jpg", "--top-k", "0"], "--top-k"),
        ([], "PATH"),
    ],
)
def test_what_cannot_be_asked_exits_with_2_and_says_why(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "empty").mkdir()
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_it_needs_nothing_that_only_serving_needs() -> None:
    heavy = "{'fastapi', 'numpy', 'tritonclient', 'orjson', 'uvicorn', 'structlog', 'prometheus_client', 'openvino'}"
    code = f"import sys, fovea_server.cli.classify; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"


def test_what_a_server_says_is_shown_and_not_obeyed(folder: Path) -> None:
    script = Script(by_image={b"xx": Refused(Undecodable("damaged \x1b]0;title\x07 [/b]"))})
    result = run(script, "00.jpg", "01.jpg")
    assert r"damaged \x1b]0;title\x07 [/b]" in result.stderr
    assert "\x1b]" not in result.stderr
    wrong = run(Script(Refused(UnknownModel("no \x1b[2J model"))), "00.jpg")
    assert "\x1b[2J" not in wrong.stderr


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
def test_a_timeout_without_an_end_is_refused_with_the_longest(folder: Path, value: str) -> None:
    result = CliRunner().invoke(app, ["00.jpg", "--timeout", value], env={"COLUMNS": "200"})
    assert result.exit_code == 2, result.exception
    assert "86400" in result.stderr or "nan is no number" in result.stderr
