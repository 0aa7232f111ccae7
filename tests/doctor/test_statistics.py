"""What is said of batches, by Triton's own counts."""

from __future__ import annotations

import pytest
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from fovea_pipelines import headers
from fovea_server.doctor import statistics, triton, varied
from fovea_server.doctor.proof import Verdict
from fovea_server.doctor.statistics import Counts

BATCHING = ModelConfig(max_batch_size=8)
BATCHING.dynamic_batching.SetInParent()


def _answer(images: int, executions: int, batches: dict[int, int]) -> service_pb2.ModelStatisticsResponse:
    model = service_pb2.ModelStatistics(name="net", version="1", inference_count=images, execution_count=executions)
    model.inference_stats.queue.ns = 400_000_000
    model.inference_stats.success.ns = 1_000_000_000
    for size, count in batches.items():
        model.batch_stats.add(batch_size=size).compute_infer.count = count
    return service_pb2.ModelStatisticsResponse(model_stats=[model])


def test_the_difference_of_two_readings_is_what_happened_between_them() -> None:
    before = statistics.read(_answer(10, 10, {1: 10}))["net"]
    after = statistics.read(_answer(63, 20, {1: 12, 8: 5, 3: 3}))["net"]
    between = after.since(before)
    assert (between.images, between.executions, between.mean_batch) == (53, 10, 5.3)
    assert between.batches == {1: 2, 8: 5, 3: 3}
    assert after.queue_share == pytest.approx(0.4)


def test_a_verdict_is_one_sentence_with_the_numbers() -> None:
    merged = Verdict("net", Counts(530, 100, 0.4, 1.0, {5: 70, 6: 30}))
    assert str(merged) == "requests merge: mean batch 5.3 (530 images in 100 executions, 40% of the time queued)"
    assert merged.sizes == "5 x 70, 6 x 30"
    alone = Verdict("net", Counts(100, 100, 0.4, 1.0), "it has no dynamic_batching")
    assert str(alone).startswith("requests do not merge, because it has no dynamic_batching: mean batch 1.0 (100 ")


def test_why_requests_did_not_merge_is_read_from_the_configuration_first() -> None:
    busy, idle = Counts(10, 10, 0.5, 1.0), Counts(10, 10, 0.01, 1.0)
    ragged = ModelConfig()
    ragged.CopyFrom(BATCHING)
    ragged.input.add(name="IMAGE", data_type=DataType.TYPE_UINT8, dims=[-1])
    crowd = ModelConfig()
    crowd.CopyFrom(BATCHING)
    crowd.instance_group.add(count=4)
    assert statistics.why_not_merged(ModelConfig(), busy) == "its max_batch_size is 0"
    assert statistics.why_not_merged(ModelConfig(max_batch_size=8), busy) == "it has no dynamic_batching"
    assert "IMAGE lacks allow_ragged_batch" in statistics.why_not_merged(ragged, busy)
    assert "4 instances took requests as they came" in statistics.why_not_merged(crowd, idle)
    assert "still went one by one" in statistics.why_not_merged(BATCHING, busy)


def test_one_photograph_becomes_several_of_different_lengths_and_stays_that_photograph(espresso: bytes) -> None:
    images = varied.lengths(espresso, 16)
    assert len({len(image) for image in images}) == 16
    assert len({(headers.read(image).height, headers.read(image).width) for image in images}) == 1
    assert varied.lengths(b"\x89PNG", 16) == [b"\x89PNG"]


@pytest.mark.parametrize(
    ("kind", "dims", "wanted"),
    [(DataType.TYPE_UINT8, [-1], True), (DataType.TYPE_STRING, [1], True), (DataType.TYPE_FP32, [-1], False)],
)
def test_load_is_sent_only_to_what_takes_an_encoded_image(kind: int, dims: list[int], wanted: bool) -> None:
    config = ModelConfig(name="net", max_batch_size=8)
    config.input.add(name="IMAGE", data_type=kind, dims=dims)
    assert (triton.target_of(config) is not None) is wanted
    config.input.add(name="OTHER", data_type=kind, dims=dims)
    assert triton.target_of(config) is None


def test_known_holes_are_only_told_of_versions_that_have_them_and_leave_them_open() -> None:
    assert [each.rule for each in triton.exposed("2.51.0", ["shared-memory"], "host:1")] == ["open-to-known-holes"]
    assert not list(triton.exposed("2.51.0", [], "host:1"))
    assert not list(triton.exposed("2.59.1", ["shared-memory"], "host:1"))
