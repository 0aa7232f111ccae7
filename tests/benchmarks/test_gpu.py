"""The benchmark of the GPU, as far as it needs none: settings are written, fractions are of the stage below."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from benchmarks import enlarged, gpu, gpu_photographs, gpu_servers
from benchmarks.errors import BenchmarkError
from benchmarks.gpu import Line, Run
from benchmarks.gpu_servers import Setting
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc.model_config_pb2 import ModelConfig

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found


def _line(stage: str, rate: float, **setting: object) -> Line:
    return Line(stage, "as given", dict(setting), rate, 1.0, 2.0, 0.5, {"kernels": 1, "jpeg": None, "memory_mb": 3})


def test_every_setting_reaches_the_configurations(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "models")
    setting = Setting(preprocess=4, network=2, pixels="host", delay=2000, threads=5, hardware_load=0.9)
    gpu_servers.write(setting, tmp_path / "models")
    configs = {
        name: text_format.Parse((tmp_path / f"models/{name}/configs/cuda.pbtxt").read_text(), ModelConfig())
        for name in ("preprocess_224", "efficientnet_lite0")
    }
    first, second = configs.values()
    assert (first.instance_group[0].count, second.instance_group[0].count) == (4, 2)
    values = {name: first.parameters[name].string_value for name in ("pixels", "threads", "hardware_load")}
    assert values == {"pixels": "host", "threads": "5", "hardware_load": "0.9"}
    assert all(config.dynamic_batching.max_queue_delay_microseconds == 2000 for config in configs.values())


def test_the_first_setting_of_the_sweep_is_what_is_served(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "models")
    gpu_servers.write(gpu_servers.SWEEP[0], tmp_path / "models")
    for path in repository.glob("*/configs/cuda.pbtxt"):
        assert (tmp_path / "models" / path.relative_to(repository)).read_text() == path.read_text()


def test_a_line_is_a_fraction_of_the_best_line_of_the_stage_below(tmp_path: Path) -> None:
    run = Run(0, 1, tmp_path / "results/gpu.json", {"gpu": "test"})
    for line in (_line("pipeline", 900), _line("pipeline", 1000), _line("triton", 900), _line("decode", 5000)):
        run.add(line)
    run.fail("rest", RuntimeError("no answer"))
    written = json.loads((tmp_path / "results/gpu.json").read_text())
    assert [line["of_limit"] for line in written["lines"]] == [None, None, 0.9, None]
    assert written["failures"] == ["rest: no answer"]


@pytest.mark.parametrize(("budget", "kinds"), [(80, ["serve"]), (130, ["limit", "serve"]), (1e6, None)])
def test_whatever_there_is_time_for_something_is_served(
    budget: float, kinds: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    monkeypatch.setattr(gpu, "_limit", lambda run, what, size, *rest: taken.append("limit"))
    monkeypatch.setattr(gpu, "_serve", lambda run, setting, folders, gateway: taken.append("serve"))
    monkeypatch.setattr(Run, "has_time", lambda run, seconds: 12 * taken.count("limit") + seconds < budget)
    gpu.measure(Run(0, 2.0, tmp_path / "gpu.json", {}), dict.fromkeys(gpu.SIZES, tmp_path))
    if kinds:
        assert list(dict.fromkeys(taken)) == kinds
    else:
        assert taken == ["limit"] * 14 + ["serve"] * len(gpu_servers.SWEEP) + ["limit"] * 10 + ["serve"]


def test_larger_photographs_are_made_of_the_given_ones(
    tmp_path: Path, espresso: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/one.jpg").write_bytes(espresso)
    monkeypatch.setattr(enlarged, "_CACHE", tmp_path / "cache")
    folders = gpu_photographs.folders(tmp_path / "given")
    sizes = {}
    for name, folder in folders.items():
        (path,) = folder.iterdir()
        sizes[name] = Image.open(io.BytesIO(path.read_bytes())).size
    assert sizes == {"as given": (600, 400), "1920x1080": (1920, 1080), "4000x3000": (4000, 3000)}


def test_a_machine_without_a_gpu_is_told_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gpu() -> None:
        raise NoGpu("this machine has no NVIDIA driver")

    monkeypatch.setattr(found, "first", no_gpu)
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(BenchmarkError, match="has no NVIDIA driver"):
        gpu.main()
