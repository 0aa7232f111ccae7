"""The distribution: light by default, complete as a wheel, and its generated code is that of its .proto."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import google.rpc
import pytest
from tests.conftest import ROOT


def test_the_client_and_the_command_line_import_nothing_heavy() -> None:
    heavy = (
        "torch",
        "numpy",
        "nvidia",
        "openvino",
        "fastapi",
        "onnx",
        "pytriton",
        "tritonclient",
        "psutil",
        "httpx",
        "grpc",
    )
    program = (
        f"import sys, fovea_client, fovea_server.cli.main; print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_serving_never_imports_torch(tmp_path: Path) -> None:
    """A torch that fails when imported lies first on the path, and everything that serves is imported."""
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    program = (
        "import fovea_server.app, fovea_pipelines.dali_executor, fovea_pipelines.openvino_engine, fovea_pipelines.build"
    )
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, capture_output=True)


def test_the_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    includes = Path(next(iter(google.rpc.__path__))).parents[1]
    wire = "fovea_client/wire/vision"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'client'}", f"-I{includes}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}", f"{wire}.proto"),
        ],
        check=True,
        cwd=ROOT / "client",
    )
    for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"):
        committed = (ROOT / "client" / f"{wire}{suffix}").read_text()
        assert committed == (tmp_path / f"{wire}{suffix}").read_text(), "run `make proto`"


def test_the_wheel_holds_the_packages_and_the_models_without_artefacts(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"fovea_server/app.py", "fovea_client/wire/vision.proto", "fovea_pipelines/contract.py"} <= names
    described = {str(path.relative_to(ROOT)) for path in _files_of_the_repository()}
    assert {f"fovea_pipelines/{name}" for name in described} <= names
    assert not any(name.endswith((".onnx", ".plan", ".pth")) for name in names)
    assert wheel.stat().st_size < 1_000_000


def test_no_path_of_a_machine_and_no_large_file_is_committed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout.split("\0")
    if tracked == [""]:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.is_file():
            assert path.stat().st_size < 1 << 20, name
            assert str(ROOT.parent).encode() + b"/" not in path.read_bytes(), name


def _files_of_the_repository() -> list[Path]:
    """What is committed of the model repository: all but artefacts and caches."""
    files = [path for path in (ROOT / "model_repository").rglob("*") if path.is_file()]
    return [path for path in files if path.suffix not in (".onnx", ".plan", ".pyc")]
