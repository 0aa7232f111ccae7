"""`fovea doctor` on a running server: Triton's own statistics say that requests merge."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports


def _doctor(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FOVEA, "doctor", *words], capture_output=True, text=True, timeout=60, check=False)


def test_under_load_images_of_different_lengths_merge(server: Served) -> None:
    result = _doctor("--state", str(server.state), "--prove", "--seconds", "2", "--callers", "24", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    document = json.loads(result.stdout)
    assert document["triton"]["address"] == f"127.0.0.1:{server.triton_port}"
    assert document["triton"]["load"]["failed"] == {}
    models = {each["model"]: each for each in document["triton"]["models"]}
    assert set(models) == {"classify_efficientnet_lite0"}
    (model,) = models.values()
    assert model["mean_batch"] > 2
    assert model["images"] >= document["triton"]["load"]["answered"]
    assert "requests merge: mean batch" in model["says"]


def test_our_triton_has_the_known_holes_and_leaves_none_open(server: Served) -> None:
    result = _doctor("--triton", f"127.0.0.1:{server.triton_port}", "--state", str(server.state))
    assert result.returncode == 0, result.stdout
    assert "Triton 2.51.0" in result.stdout
    assert "CVE" not in result.stdout


def test_images_that_it_does_not_answer_are_one_sentence(server: Served, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    result = _doctor("--state", str(server.state), "--prove", "--seconds", "0.5", "--images", str(tmp_path))
    assert result.returncode == 2
    assert "answered none of the images" in result.stderr


@pytest.mark.parametrize("model", ["efficientnet_lite0", "nobody"])
def test_a_model_that_takes_no_image_or_is_not_there_is_refused(server: Served, model: str) -> None:
    result = _doctor("--state", str(server.state), "--prove", "--model", model)
    assert result.returncode == 2
    assert model in result.stderr


def test_without_a_batcher_it_is_proved_that_requests_do_not_merge(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "models"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("__pycache__"))
    config = copy / "classify_efficientnet_lite0/configs/cpu.pbtxt"
    config.write_text(re.sub(r"dynamic_batching \{[^}]*\}", "", config.read_text()))
    with served(free_ports(5), "--device=cpu", f"--repository={copy}") as server:
        triton = ("--triton", f"127.0.0.1:{server.triton_port}")
        result = _doctor(str(copy), *triton, "--state", str(server.state), "--prove", "--seconds", "1.5")
    assert result.returncode == 1
    name = "classify_efficientnet_lite0"
    assert f"{name}: requests do not merge, because it has no dynamic_batching: mean batch 1.0" in result.stdout
    assert f"{name}/configs/cpu.pbtxt:5  there is no dynamic_batching" in result.stdout
