"""`fovea skew` as a person or a script meets it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from tests.ports import free_ports
from typer.testing import CliRunner, Result

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity.report import Report
from fovea_pipelines.parity.tally import Row
from fovea_server.cli.skew import skew

app = typer.Typer()
app.command()(skew)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def folder(tmp_path: Path, espresso: bytes) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (images / name).write_bytes(espresso)
    return images


def test_photographs_within_the_limits_get_a_table_and_0(folder: Path) -> None:
    for other in ("notes.txt", "moving.gif"):
        (folder / other).touch()
    result = run("--no-generated", "--images", str(folder))
    assert result.exit_code == 0
    assert sorted(result.stderr.splitlines()) == [
        "comparing 3 images, 0 of them generated, by dali-cpu",
        "every kind of image is within the limits of efficientnet_lite0, built in or in its model.toml",
        f"left out of {folder}, for their names are none of an image that Triton decodes: 1 .gif, 1 .txt",
    ]
    head, row = result.stdout.splitlines()
    assert head.split()[:6] == ["executor", "kind", "images", "mean", "99%", "max"]
    assert row.split()[:3] == ["dali-cpu", "photographs", "3"]
    assert row.split()[-3:] == ["100%", "100%", "-"]


def test_a_file_that_one_side_refuses_fails_with_1_and_says_so(folder: Path) -> None:
    pictures = [Image.new("RGB", (300, 200), colour) for colour in ("red", "blue")]
    pictures[0].save(folder / "animated.png", save_all=True, append_images=pictures[1:])
    result = run("--no-generated", "--images", str(folder))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "comparing 4 images, 0 of them generated, by dali-cpu",
        "error: dali-cpu, photographs: refusals is 0.25, at most 0",
    ]


def test_the_measures_and_the_page_are_written(folder: Path, tmp_path: Path, package: ModelPackage) -> None:
    result = run(
        *("--no-generated", "--images", str(folder), "--limit", "2"),
        *("--json", str(tmp_path / "skew.json"), "--html", str(tmp_path / "skew.html")),
    )
    assert result.exit_code == 0
    report = json.loads((tmp_path / "skew.json").read_text())
    assert (report["model"], report["images"], report["passed"]) == (package.name, 2, True)
    assert (tmp_path / "skew.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--no-generated"], "there is nothing to compare"),
        (["--no-generated", "--images", "empty"], "no images in empty"),
        (["--images", "nowhere"], "nowhere"),
        (["--model", "cats"], "no model named cats"),
        (["--limit", "0"], "--limit"),
        (["--device", "tpu"], "--device is 'tpu'"),
        (["--html", "no/page.html"], "no/page.html cannot be written: there is no folder no"),
    ],
)
def test_what_cannot_be_compared_exits_with_2_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_triton_that_is_not_there_is_said_with_a_hint(folder: Path) -> None:
    (port,) = free_ports(1)
    result = run("--no-generated", "--images", str(folder), "--triton", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert f"error: tritonserver is not answering on 127.0.0.1:{port}" in result.stderr
    assert "hint: start it with `fovea serve`" in result.stderr


def test_a_gpu_that_is_not_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gpu() -> None:
        raise NoGpu("this machine has no NVIDIA driver", "install one, or use the CPU")

    monkeypatch.setattr("fovea_pipelines.gpu.found.first", no_gpu)
    result = run("--no-generated", "--images", str(folder), "--device", "cuda")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: this machine has no NVIDIA driver" in result.stderr


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'PIL', 'nvidia', 'openvino', 'tritonclient', 'fastapi'}"
    code = f"import sys, fovea_server.cli.skew; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"


def test_a_name_that_is_no_text_is_in_every_report(folder: Path, tmp_path: Path, espresso: bytes) -> None:
    (folder / b"caf\xe9.jpg".decode(errors="surrogateescape")).write_bytes(espresso)
    html, document = tmp_path / "skew.html", tmp_path / "skew.json"
    result = run("--no-generated", "--images", str(folder), "--html", str(html), "--json", str(document))
    assert (result.exit_code, result.exception) == (0, None)
    assert r"images/caf\xe9.jpg" in html.read_text()
    assert r"images/caf\xe9.jpg" in {each["image"] for each in json.loads(document.read_text())["worst"]}


def test_a_drift_without_an_end_is_null_in_the_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("dali-cpu", "tiny", 1, 1, 0, 0, 0.1, 0.1, 0.1, math.inf, math.nan, 1.0, 1.0, ())
    report = Report("net", "sha256:0", (), 1, (row,), (), ())
    monkeypatch.setattr("fovea_server.cli.skew._compared", lambda *_: report)
    assert run("--json", str(tmp_path / "skew.json")).exit_code == 0
    written = json.loads((tmp_path / "skew.json").read_text(), parse_constant=pytest.fail)
    assert list(written["rows"][0].values()).count(None) >= 2
