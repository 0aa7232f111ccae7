"""Triton's own KServe v2 ports, by `tritonclient`: open for inference, closed for what reaches files and memory."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tests.e2e.served import Served
from tritonclient.utils import InferenceServerException

from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import served as served_path
from fovea_pipelines.parity.executors import DaliCpu

ENSEMBLE = "classify_efficientnet_lite0"


def _infer(module: Any, client: Any, ensemble: str, image: bytes) -> Any:
    tensor = module.InferInput("IMAGE", [1, len(image)], "UINT8")
    tensor.set_data_from_numpy(np.frombuffer(image, np.uint8)[np.newaxis])
    return client.infer(ensemble, [tensor])


@pytest.fixture
def grpc_client(server: Served) -> Iterator[tritonclient.grpc.InferenceServerClient]:
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.triton_port}")
    yield client
    client.close()


@pytest.fixture
def http_client(server: Served) -> Iterator[tritonclient.http.InferenceServerClient]:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.triton_http_port}")
    yield client
    client.close()


def test_the_ensemble_answers_over_both_ports(
    grpc_client: Any, http_client: Any, package: ModelPackage, espresso: bytes
) -> None:
    over_grpc = _infer(tritonclient.grpc, grpc_client, package.ensemble, espresso)
    over_http = _infer(tritonclient.http, http_client, package.ensemble, espresso)
    for result in (over_grpc, over_http):
        scores = result.as_numpy("SCORES")
        assert scores.shape == (1, 1000)
        assert int(scores.argmax()) == package.golden.expected.index
        assert result.as_numpy("EMBEDDING").shape == (1, 1280)
        assert result.as_numpy("QUALITY").shape == (1, 3)
    np.testing.assert_array_equal(over_grpc.as_numpy("SCORES"), over_http.as_numpy("SCORES"))


def test_the_pixels_that_the_network_saw_are_given_to_who_asks_for_them(
    server: Served, grpc_client: Any, package: ModelPackage, espresso: bytes
) -> None:
    assert _infer(tritonclient.grpc, grpc_client, package.ensemble, espresso).as_numpy("PIXELS") is None
    served = served_path.Served(f"127.0.0.1:{server.triton_port}", [package.network, package.ensemble])
    (pixels,), (expected,) = served([espresso]), DaliCpu(package.contract)([espresso])
    np.testing.assert_array_equal(pixels, expected)
    with pytest.raises(served_path.NotServing, match=f"no model {package.network} that gives PIXELS"):
        served_path.Served(f"127.0.0.1:{server.triton_port}", [package.network])


def test_models_and_shared_memory_cannot_be_touched_without_the_key(
    grpc_client: Any, http_client: Any, package: ModelPackage
) -> None:
    for client in (grpc_client, http_client):
        with pytest.raises(InferenceServerException, match=r"(?i)restricted"):
            client.unload_model(package.ensemble)
        with pytest.raises(InferenceServerException, match=r"(?i)restricted"):
            client.register_system_shared_memory("x", "/x", 16)
        assert client.is_model_ready(package.ensemble)


def test_nothing_can_be_made_to_write_files_without_the_key(grpc_client: Any, http_client: Any, tmp_path: Path) -> None:
    trace = {"trace_file": str(tmp_path / "trace"), "trace_level": ["TIMESTAMPS"], "trace_rate": "1"}
    for client in (grpc_client, http_client):
        for asked in (
            lambda client=client: client.update_trace_settings(settings=trace),
            lambda client=client: client.get_trace_settings(),
            lambda client=client: client.update_log_settings({"log_file": str(tmp_path / "log")}),
            lambda client=client: client.get_log_settings(),
            lambda client=client: client.get_model_repository_index(),
            lambda client=client: client.load_model("preprocess_224"),
            lambda client=client: client.register_cuda_shared_memory("x", b"", 0, 16),
            lambda client=client: client.get_system_shared_memory_status(),
        ):
            with pytest.raises(InferenceServerException, match=r"(?i)restricted"):
                asked()
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_was_guessed_opens_nothing(grpc_client: Any, http_client: Any) -> None:
    for client, header in ((grpc_client, "triton-grpc-protocol-fovea"), (http_client, "fovea")):
        with pytest.raises(InferenceServerException, match=r"(?i)restricted"):
            client.get_log_settings(headers={header: "guessed"})


def test_triton_is_on_loopback_alone_and_its_key_is_not_logged(server: Served) -> None:
    triton = server.triton()
    listening = {
        each.laddr.ip.removeprefix("::ffff:")
        for each in triton.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    (restricted,) = (word for word in triton.cmdline() if word.startswith("--grpc-restricted-protocol="))
    assert len(restricted.rpartition("=")[2]) >= 32
    assert restricted.rpartition("=")[2] not in server.log


def test_triton_merges_requests_into_batches(server: Served, grpc_client: Any, espresso: bytes) -> None:
    def sizes() -> int:
        stats = grpc_client.get_inference_statistics("classify_efficientnet_lite0").model_stats[0]
        return sum(batch.compute_infer.count for batch in stats.batch_stats if batch.batch_size > 1)

    before = sizes()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda _: _infer(tritonclient.grpc, grpc_client, "classify_efficientnet_lite0", espresso), range(64)
            )
        )
    assert sizes() > before
