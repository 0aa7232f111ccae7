"""Tuned settings: chosen for the right model and machine, and served without writing to the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from fovea_pipelines.package import ModelPackage, contract_of
from fovea_server.errors import StartError
from fovea_server.triton import tuned
from fovea_server.triton.tuned import Machine, Setting
from fovea_server.tuning import evidence
from fovea_server.tuning.search import Search

SETTING = Setting(3, 1, 16, 500, "f32")
NAME = "classify_efficientnet_lite0"


def _write(state: Path, package: ModelPackage, machine: Machine) -> Path:
    path = tuned.file_of(state, package)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(evidence.settings_file(package, machine, "throughput", SETTING))
    return path


def test_the_settings_of_this_model_and_machine_are_chosen(tmp_path: Path, package: ModelPackage) -> None:
    _write(tmp_path, package, Machine.here())
    assert tuned.chosen("auto", tmp_path, [package]) == {NAME: SETTING}
    assert tuned.chosen("off", tmp_path, [package]) == {}


def test_those_for_a_repository_of_a_version_before_keep_no_server_from_starting(
    tmp_path: Path, package: ModelPackage
) -> None:
    path = _write(tmp_path, package, Machine.here())
    older = replace(package, folder=tmp_path / "efficientnet_lite0")  # no classify_... with a cpu.pbtxt beside it
    assert tuned.chosen("auto", tmp_path, [older]) == {}
    with pytest.raises(StartError, match=f"{NAME} has no configs/cpu.pbtxt"):
        tuned.chosen(str(path), tmp_path, [older])


def test_a_new_version_beside_it_changes_nothing(tmp_path: Path, package: ModelPackage) -> None:
    _write(tmp_path, package, Machine.here())
    second = replace(package, folder=tmp_path / "efficientnet_lite0@2", digest="sha256:" + "2" * 64)
    settings = tuned.chosen("auto", tmp_path, [package, second])
    assert set(settings) == {NAME}
    assert (tuned.largest_batch(settings), tuned.largest_batch({})) == (16, None)


def test_those_of_another_machine_are_only_taken_by_name(tmp_path: Path, package: ModelPackage) -> None:
    path = _write(tmp_path, package, replace(Machine.here(), cores=1000))
    assert tuned.chosen("auto", tmp_path, [package]) == {}
    assert set(tuned.chosen(str(path), tmp_path, [package])) == {NAME}


def test_those_of_the_two_stages_that_it_had_are_not_taken(tmp_path: Path, package: ModelPackage) -> None:
    path = _write(tmp_path, package, Machine.here())
    path.write_text(path.read_text().replace("[settings.", "[stages."))
    assert tuned.chosen("auto", tmp_path, [package]) == {}
    with pytest.raises(StartError, match="of a version that ran decoding and network apart"):
        tuned.chosen(str(path), tmp_path, [package])


def test_those_of_another_digest_are_never_taken(tmp_path: Path, package: ModelPackage) -> None:
    path = _write(tmp_path, package, Machine.here())
    other = replace(package, digest="sha256:" + "0" * 64)
    assert tuned.chosen("auto", tmp_path, [other]) == {}
    with pytest.raises(StartError, match="another efficientnet_lite0"):
        tuned.chosen(str(path), tmp_path, [other])


@pytest.mark.parametrize("text", ["", "not toml", "model = 3", 'model = "a"\ndigest = "b"\ngoal = "c"\nmachine = 1'])
def test_a_file_that_holds_no_settings_is_refused_by_name(tmp_path: Path, package: ModelPackage, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(StartError, match=r"mine\.toml holds no tuned settings"):
        tuned.chosen(str(path), tmp_path, [package])
    with pytest.raises(StartError, match="cannot be read"):
        tuned.chosen(str(tmp_path / "none.toml"), tmp_path, [package])


def test_a_file_that_nobody_named_and_that_is_spoilt_keeps_no_server_from_starting(
    tmp_path: Path, package: ModelPackage
) -> None:
    path = _write(tmp_path, package, Machine.here())
    path.write_text(path.read_text().replace("instances = 3", 'instances = "two"'))
    assert tuned.chosen("auto", tmp_path, [package]) == {}
    with pytest.raises(StartError, match="instances is 'two'; it must be a whole number from 1"):
        tuned.chosen(str(path), tmp_path, [package])


def test_a_repository_of_links_differs_in_the_tuned_configurations_alone(
    tmp_path: Path, package: ModelPackage, repository: Path
) -> None:
    before = {path: path.read_bytes() for path in repository.rglob("*.pbtxt")}
    linked = tuned.link(repository, {NAME: SETTING}, tmp_path)
    written = sorted(path for path in linked.rglob("*") if path.is_file() and not path.is_symlink())
    names = [NAME, "efficientnet_lite0"]
    assert [path.relative_to(linked).as_posix() for path in written] == [f"{name}/configs/cpu.pbtxt" for name in names]
    config, network = (text_format.Parse(path.read_text(), ModelConfig()) for path in written)
    assert network.parameters["precision"].string_value == "f32"
    assert network.max_batch_size == 8
    assert (config.max_batch_size, config.instance_group[0].count) == (16, 3)
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.parameters["threads"].string_value == "1"
    assert config.parameters["precision"].string_value == "f32"
    assert config.input[0].allow_ragged_batch
    assert contract_of(linked / "preprocess_224") == package.contract
    assert ModelPackage.read(linked / "efficientnet_lite0").digest == package.digest
    assert before == {path: path.read_bytes() for path in repository.rglob("*.pbtxt")}


def test_settings_of_a_model_that_is_not_there_are_refused(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(StartError, match="name nobody"):
        tuned.link(repository, {"nobody": SETTING}, tmp_path)


def test_what_is_configured_is_read_back(repository: Path) -> None:
    text = (repository / NAME / "configs/cpu.pbtxt").read_text()
    assert tuned.as_configured(text, 4, "int8") == Setting(2, 2, 8, 0, "int8")
    assert tuned.as_configured(text, 3, "int8") == Setting(2, 2, 8, 0, "int8")  # no core is left out
    assert tuned.as_configured(text, 1, "int8") == Setting(2, 1, 8, 0, "int8")
    assert tuned.as_configured(tuned.configured(text, SETTING), 2, "f32") == SETTING


def test_where_nothing_beat_the_default_the_file_says_so_and_changes_nothing(
    tmp_path: Path, package: ModelPackage
) -> None:
    plan = {"goal": "throughput", "p99_ms": 100.0, "seconds": 5.0, "photographs": "the golden image", "images": 1}
    text = evidence.evidence_file(package, Machine.here(), plan, Search.begin(SETTING), [])
    path = tuned.file_of(tmp_path, package)
    path.parent.mkdir()
    path.write_text(text)
    assert tuned.chosen("auto", tmp_path, [package]) == {}
