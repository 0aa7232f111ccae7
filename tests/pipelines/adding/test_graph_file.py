"""An ONNX file is read with the data beside it; nothing else of the machine is."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from tests.pipelines.adding.networks import WEIGHTS, classifier

from fovea_pipelines.adding.graphs import file
from fovea_pipelines.adding.graphs.adopt import load
from fovea_pipelines.errors import BadNetwork

W = WEIGHTS["w"].astype("float32").tobytes()


def refusal(path: Path) -> str:
    with pytest.raises(BadNetwork) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def with_external(folder: Path, location: str, **places: int) -> Path:
    """A network whose first tensor has its data in another file."""
    model = classifier()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **places}.items():
        tensor.external_data.add(key=key, value=str(value))
    return written(folder / "net.onnx", model.SerializeToString())


def test_a_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = classifier()
    assert load(written(tmp_path / "net.onnx", model.SerializeToString())) == model


def test_the_data_beside_it_is_read_into_it(tmp_path: Path) -> None:
    written(tmp_path / "data" / "net.bin", b"before" + W + b"after")
    assert load(with_external(tmp_path, "data/net.bin", offset=6, length=len(W))) == classifier()


def test_external_data_is_read_also_where_it_is_deep_inside(tmp_path: Path) -> None:
    model = classifier()
    external = TensorProto(name="deep", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    external.external_data.add(key="location", value="net.bin")
    inner = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=external)], "inner", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["q"], ["r"], then_branch=inner, else_branch=inner))
    written(tmp_path / "net.bin", b"1234")
    model = load(written(tmp_path / "net.onnx", model.SerializeToString()))
    assert [branch.g.node[0].attribute[0].t.raw_data for branch in model.graph.node[-1].attribute] == [b"1234"] * 2


@pytest.mark.parametrize("location", ["../secret", "data/../../secret", "/etc/hostname"])
def test_data_outside_the_networks_folder_is_not_read(tmp_path: Path, location: str) -> None:
    written(tmp_path / "secret", W)
    (tmp_path / "nets" / "data").mkdir(parents=True)
    found = refusal(with_external(tmp_path / "nets", location))
    assert found == f"tensor w of net.onnx keeps its data in {location}, outside the network's folder; it was not read"


def test_a_link_out_of_the_networks_folder_is_not_followed(tmp_path: Path) -> None:
    network = with_external(tmp_path / "nets", "net.bin")
    (tmp_path / "nets" / "net.bin").symlink_to(written(tmp_path / "secret", W))
    assert "outside the network's folder; it was not read" in refusal(network)


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(with_external(tmp_path, "net.bin")) == (
        "tensor w of net.onnx keeps its data in net.bin, which is not there"
    )
    assert refusal(with_external(tmp_path, "")) == (
        "tensor w of net.onnx keeps its data in a file without a name, which is not there"
    )
    assert refusal(with_external(tmp_path, "x" * 300)).endswith("which is not there")


@pytest.mark.parametrize(
    "places", [{"length": len(W) + 1}, {"offset": len(W) + 1}, {"offset": -1}, {"length": -1}, {"offset": "many"}]
)
def test_data_that_is_shorter_than_said_is_refused(tmp_path: Path, places: dict[str, int]) -> None:
    written(tmp_path / "net.bin", W)
    assert refusal(with_external(tmp_path, "net.bin", **places)).startswith(
        "the data of tensor w of net.onnx cannot be read: "
    )


def test_a_network_with_more_data_than_a_protobuf_holds_is_refused_before_it_is_read(tmp_path: Path) -> None:
    network = with_external(tmp_path, "net.bin")
    with (tmp_path / "net.bin").open("wb") as file:
        file.truncate(2**31)  # takes no space
    size = network.stat().st_size + 2**31
    assert refusal(network) == f"net.onnx holds {size:,} bytes with its external data; at most 2,147,483,647"
    with network.open("wb") as file:
        file.truncate(2**31)
    assert refusal(network) == "net.onnx holds 2,147,483,648 bytes with its external data; at most 2,147,483,647"


def test_tensors_that_share_one_stretch_of_a_file_count_as_often_as_they_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "net.bin", W)
    network = with_external(tmp_path, "net.bin")
    model = onnx.load(network, load_external_data=False)
    for count in range(4):
        model.graph.initializer.append(model.graph.initializer[0])
        model.graph.initializer[-1].name = f"w{count}"
    written(network, model.SerializeToString())
    monkeypatch.setattr(file, "MOST_BYTES", network.stat().st_size + len(W))
    held = len(W) * (network.stat().st_size // len(W) + 2)
    assert refusal(network).startswith(f"net.onnx holds {held:,} bytes with its external data; at most ")


def test_a_file_that_was_cut_off_is_refused_wherever_it_was(tmp_path: Path) -> None:
    content = classifier().SerializeToString()
    for size in range(0, len(content), 97):
        found = refusal(written(tmp_path / "net.onnx", content[:size]))
        assert found.startswith(("net.onnx is damaged or not ONNX: ", "net.onnx holds no network"))


def test_a_name_that_is_not_text_is_found_when_the_file_is_read(tmp_path: Path) -> None:
    content = classifier().SerializeToString()
    assert content.count(b"Gemm") == content.count(b"conv") // 2 == 1
    for name in (b"Gemm", b"conv"):
        damaged = content.replace(name, b"\xff" * 4)
        assert refusal(written(tmp_path / "net.onnx", damaged)).endswith("a name in it is not text")


def test_an_image_is_not_a_network(tmp_path: Path, repository: Path) -> None:
    image = (repository / "efficientnet_lite0" / "espresso.jpg").read_bytes()
    assert refusal(written(tmp_path / "cup.onnx", image)).startswith("cup.onnx is damaged or not ONNX: ")


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.onnx") == f"{tmp_path / 'no.onnx'} is not a file"
    assert refusal(tmp_path) == f"{tmp_path} is not a file"
