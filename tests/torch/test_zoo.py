"""A torchvision or timm network becomes a graph that answers as it does. Needs torch: `make test-torch`."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ports import free_ports
from tests.torch.with_torchvision import torchvision

from fovea_pipelines.adding.network import Network
from fovea_pipelines.adding.pytorch import fetching, torchvision_zoo, zoo
from fovea_pipelines.contract_sources import from_torchvision
from fovea_pipelines.errors import BadNetwork, BadWeights
from fovea_pipelines.quiet_openvino import ov

torch = pytest.importorskip("torch", reason="torch is not installed; run `make test-torch`")
pytest.importorskip("onnxscript", reason="onnxscript is not installed; run `make test-torch`")
pytestmark = pytest.mark.torch


def _save(network: Any, path: Path) -> Path:
    """Its state dict, and no tensor of zeros in it: some networks begin with a head that answers nothing else."""
    torch.manual_seed(0)
    state = network.state_dict()
    for tensor in state.values():
        if tensor.is_floating_point() and tensor.ndim > 1 and not tensor.any():
            tensor.normal_(std=0.02)
    torch.save(state, path)
    return path


def _torchvision(name: str, path: Path, **arguments: Any) -> Path:
    return _save(torchvision().models.get_model(name, weights=None, **arguments), path)


def _timm(name: str, path: Path, **arguments: Any) -> Path:
    torchvision()
    timm = pytest.importorskip("timm", reason="timm is not installed; run `make test-torch`")
    return _save(timm.create_model(name, pretrained=False, **arguments), path)


def _answers_as_the_original(network: Network) -> None:
    assert network.forward is not None
    assert network.source is not None
    engine = ov.Core()
    graph = engine.read_model(network.graph.SerializeToString())
    compiled = engine.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    side = network.source.contract.output_height
    for batch in (1, 3):
        images = np.random.default_rng(batch).normal(size=(batch, 3, side, side)).astype(np.float32)
        expected = network.forward(images)
        assert len(expected) == batch
        assert np.ptp(expected) > 1e-3
        assert np.abs(compiled(images)[0] - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return _torchvision("resnet18", tmp_path_factory.mktemp("weights") / "mine.pth")


@pytest.fixture(scope="module")
def resnet18(resnet18_file: Path) -> Network:
    return zoo.read("torchvision:resnet18", resnet18_file)


# what is read


def test_a_resnet_answers_as_pytorch_does(resnet18: Network) -> None:
    _answers_as_the_original(resnet18)


@pytest.mark.large
def test_a_vision_transformer_of_torchvision_answers_as_pytorch_does(tmp_path: Path) -> None:
    weights = _torchvision("vit_b_32", tmp_path / "vit.pth", num_classes=11)
    network = zoo.read("torchvision:vit_b_32", weights)
    _answers_as_the_original(network)
    assert network.labels is None


@pytest.mark.large
def test_a_vision_transformer_of_timm_answers_as_pytorch_does(tmp_path: Path) -> None:
    network = zoo.read("timm:vit_tiny_patch16_224", _timm("vit_tiny_patch16_224", tmp_path / "tiny.pth"))
    _answers_as_the_original(network)
    assert network.origin["kind"] == "timm"
    assert network.labels is not None
    assert len(network.labels) == 1000
    assert network.labels[0].startswith("tench")


def test_what_a_preset_says_comes_along(resnet18: Network, resnet18_file: Path) -> None:
    preset = torchvision().models.ResNet18_Weights.IMAGENET1K_V1
    assert resnet18.source == from_torchvision(preset.transforms())
    assert resnet18.labels == tuple(preset.meta["categories"])
    assert resnet18.origin == {
        "kind": "torchvision",
        "architecture": "resnet18",
        "preset": "IMAGENET1K_V1",
        "weights": "mine.pth",
        "weights_sha256": hashlib.sha256(resnet18_file.read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "torchvision": torchvision().__version__,
    }


def test_the_graph_is_one_file_of_a_known_opset_with_any_batch(resnet18: Network) -> None:
    graph = resnet18.graph.graph
    assert [entry.version for entry in resnet18.graph.opset_import if entry.domain == ""] == [18]
    assert not any(tensor.external_data for tensor in graph.initializer)
    for entry in (*graph.input, *graph.output):
        assert entry.type.tensor_type.shape.dim[0].dim_param
    assert str(Path(torch.__file__).parent).encode() not in resnet18.graph.SerializeToString()


@pytest.mark.large
def test_the_same_weights_give_the_same_bytes(resnet18: Network, resnet18_file: Path) -> None:
    again = zoo.read("torchvision:resnet18", resnet18_file).graph
    assert again.SerializeToString(deterministic=True) == resnet18.graph.SerializeToString(deterministic=True)


@pytest.mark.large
def test_the_weights_say_how_many_classes_there_are(tmp_path: Path) -> None:
    network = zoo.read(
        "torchvision:squeezenet1_1", _torchvision("squeezenet1_1", tmp_path / "seven.pth", num_classes=7)
    )
    assert network.forward is not None
    assert network.forward(np.zeros((2, 3, 224, 224), np.float32)).shape == (2, 7)
    assert network.labels is None
    network = zoo.read("timm:resnet10t", _timm("resnet10t", tmp_path / "seven.pth", num_classes=7))
    _answers_as_the_original(network)
    assert network.labels is None


@pytest.mark.parametrize(
    ("spec", "name", "preset"),
    [
        ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", "IMAGENET1K_V1"),
        ("mobilenet_v2", "mobilenet_v2-b0353104.pth", "IMAGENET1K_V1"),
        ("mobilenet_v2", "mobilenet_v2-7ebf99e0.pth", "IMAGENET1K_V2"),
        ("mobilenet_v2", "mine.pth", "IMAGENET1K_V2"),
        ("mobilenet_v2:IMAGENET1K_V1", "mine.pth", "IMAGENET1K_V1"),
        ("MobileNet_V2:IMAGENET1K_V1", "mobilenet_v2-7ebf99e0.pth", "IMAGENET1K_V1"),
    ],
)
def test_the_name_of_the_file_says_which_preset(spec: str, name: str, preset: str, tmp_path: Path) -> None:
    architecture = spec.partition(":")[0].lower()
    found = torchvision_zoo.read(spec, _torchvision(architecture, tmp_path / name, num_classes=3))
    assert found.origin["preset"] == preset
    assert found.source == from_torchvision(torchvision().models.get_model_weights(architecture)[preset].transforms())


@pytest.mark.large
def test_inception_is_built_as_its_published_weights_were_trained(tmp_path: Path) -> None:
    weights = _torchvision("inception_v3", tmp_path / "mine.pth", init_weights=False, num_classes=4)
    with pytest.raises(BadNetwork, match="trained with transform_input or without") as refusal:
        torchvision_zoo.read("inception_v3", weights)
    assert "torchvision:inception_v3:IMAGENET1K_V1" in (refusal.value.hint or "")
    found = torchvision_zoo.read("inception_v3:IMAGENET1K_V1", weights).network.eval()
    original = torchvision().models.inception_v3(init_weights=False, num_classes=4, transform_input=True).eval()
    original.load_state_dict(torch.load(weights, weights_only=True))
    images = torch.rand(1, 3, 299, 299)
    with torch.no_grad():
        np.testing.assert_array_equal(found(images), original(images))


@pytest.mark.large
@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("densenet121", {r"(denselayer\d+\.(?:norm|conv))([12])\.": r"\1.\2."}),
        ("vit_b_32", {r"mlp\.0\.": "mlp.linear_1.", r"mlp\.3\.": "mlp.linear_2."}),
    ],
)
def test_the_names_of_old_weights_are_mended_as_torchvision_mends_them(
    name: str, renamed: dict[str, str], tmp_path: Path
) -> None:
    """The published DenseNets and vision transformers are older than the modules that load them."""
    original = torchvision().models.get_model(name, weights=None, num_classes=3).eval()
    old = {key: value for key, value in original.state_dict().items() if not key.endswith("num_batches_tracked")}
    for pattern, earlier in renamed.items():
        old = {re.sub(pattern, earlier, key): value for key, value in old.items()}
    assert not old.keys() <= original.state_dict().keys()
    torch.save(old, tmp_path / "old.pth")
    found = torchvision_zoo.read(name, tmp_path / "old.pth").network.eval()
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        np.testing.assert_array_equal(found(images), original(images))


# what is refused


def test_the_weights_of_another_architecture_are_refused_with_counts_and_names(resnet18_file: Path) -> None:
    for spec in ("torchvision:resnet50", "torchvision:resnet34", "timm:vit_tiny_patch16_224"):
        if spec.startswith("timm"):
            pytest.importorskip("timm", reason="timm is not installed; run `make test-torch`")
        with pytest.raises(BadNetwork) as refusal:
            zoo.read(spec, resnet18_file)
        message = str(refusal.value)
        assert message.startswith(f"the weights are not those of {spec}: it has ")
        assert " tensors, the file 102; " in message
        assert "missing (first " in message
    with pytest.raises(BadNetwork, match=r"of another shape \(first layer1\.0\.conv1\.weight is \(64, 64, 3, 3\), not"):
        zoo.read("torchvision:resnet50", resnet18_file)


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def test_weights_that_would_run_code_are_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": torch.ones(7, 512), "z": _RunsCode()}, tmp_path / "evil.pth")
    with pytest.raises(BadWeights, match=r"asks for (posix|nt)\.system, which is not a tensor"):
        zoo.read("torchvision:resnet18", tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("torchvision:resnet51", "torchvision has no network 'resnet51'", "resnet50"),
        ("torchvision:resnet18:V3", "has no published weights 'V3'", "IMAGENET1K_V1"),
        ("torchvision:fasterrcnn_resnet50_fpn", "is a network for detection", ""),
        ("torchvision:fcn_resnet50", "is a network for segmentation", ""),
        ("torchvision:r3d_18", "is a network for video", ""),
        ("torchvision:quantized_resnet18", "is a network for quantization", ""),
        ("torchvision:", "names no network", "torchvision:resnet50"),
        ("keras:resnet50", "names no network", "torchvision:resnet50"),
        ("timm:vit_smal_patch16_224", "timm has no network 'vit_smal_patch16_224'", "vit_small_patch16_224"),
        ("timm:resnet10t.nonsense", "publishes no weights 'resnet10t.nonsense'", "resnet10t.c3_in1k"),
    ],
)
def test_what_names_no_network_of_ours_is_refused(spec: str, message: str, hint: str, resnet18_file: Path) -> None:
    torchvision()
    if spec.startswith("timm"):
        pytest.importorskip("timm", reason="timm is not installed; run `make test-torch`")
    with pytest.raises(BadNetwork, match=message) as refusal:
        zoo.read(spec, resnet18_file)
    assert hint in (refusal.value.hint or "")


def test_reading_says_nothing_of_its_own(resnet18_file: Path) -> None:
    """A process of its own: a library may say something once, and hold on to the streams it found."""
    read = "import sys, pathlib; from fovea_pipelines.adding.pytorch import zoo\n"
    read += "assert 'torch' not in sys.modules\n"
    read += "zoo.read('torchvision:resnet18', pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", read, resnet18_file], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# fetching


class _Weights(BaseHTTPRequestHandler):
    """Serves anything, but for /silent, which it never answers."""

    content = b"weights"
    asked: list[str] = []  # noqa: RUF012
    leave = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "silent" in self.path:
            self.leave.wait(20)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    _Weights.asked.clear()
    _Weights.leave.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Weights) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        _Weights.leave.set()
        server.shutdown()
        serving.join()


def test_what_was_fetched_is_kept_and_its_digest_checked(address: str, tmp_path: Path) -> None:
    name = f"net-{hashlib.sha256(_Weights.content).hexdigest()[:8]}.pth"
    path = fetching.from_url(f"{address}/{name}")
    assert path == tmp_path / "torch" / "hub" / "checkpoints" / name
    assert path.read_bytes() == _Weights.content
    assert fetching.from_url(f"{address}/{name}") == path
    assert _Weights.asked == [f"/{name}"]
    path.write_bytes(b"something else")
    with pytest.raises(BadNetwork, match="is damaged: its SHA-256 does not begin with"):
        fetching.from_url(f"{address}/{name}")
    with pytest.raises(BadNetwork, match=r"net-0badc0de\.pth cannot be fetched: invalid hash value"):
        fetching.from_url(f"{address}/net-0badc0de.pth")
    assert not (path.parent / "net-0badc0de.pth").exists()


def test_where_there_is_no_network_the_hint_is_to_give_the_file(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_SILENCE", 0.3)
    for url, reason in (
        (f"http://127.0.0.1:{free_ports(1)[0]}/net.pth", "Connection refused"),
        ("http://nowhere.invalid/net.pth", "known|resolution"),
        (f"{address}/silent.pth", "timed out"),
    ):
        with pytest.raises(BadNetwork, match=rf"net\.pth|silent\.pth cannot be fetched: .*({reason})") as refusal:
            fetching.from_url(url)
        assert refusal.value.hint == "give the file with --weights"


def test_the_hugging_face_hub_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; run `make test-torch`")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", nobody)
    with pytest.raises(BadNetwork, match=r"cannot be fetched: .*Connection refused") as refusal:
        zoo.read("timm:resnet10t.c3_in1k", None)
    assert refusal.value.hint == "give the file with --weights"


@pytest.mark.large
def test_published_weights_are_taken_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; run `make test-torch`")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed; run `make test-torch`")
    kept = tmp_path / "models--timm--resnet10t.c3_in1k"
    snapshot = kept / "snapshots" / "0123456789abcdef"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(snapshot.name)
    snapshot.mkdir(parents=True)
    state = torch.load(_timm("resnet10t", tmp_path / "random.pth"), weights_only=True)
    safetensors.save_file(state, snapshot / "model.safetensors")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    network = zoo.read("timm:resnet10t.c3_in1k", None)
    assert network.origin["url"] == "https://huggingface.co/timm/resnet10t.c3_in1k"
    assert network.origin["weights"] == "model.safetensors"
    assert network.origin["licence"]
    _answers_as_the_original(network)
