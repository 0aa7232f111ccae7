"""A network that somebody exported becomes a graph that serves what the network says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from tests.pipelines.adding.networks import (
    BODY,
    CLASSES,
    CONV,
    FEATURES,
    GEMM,
    HEIGHT,
    IMAGES,
    LOGITS,
    MEAN,
    STD,
    WEIGHTS,
    WIDTH,
    classifier,
    images,
    network,
    normalised,
    softmax,
)

from fovea_pipelines.adding.graphs.adopt import Adopted, adopt, input_size
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.quiet_openvino import ov

Array = NDArray[Any]


def adopted(model: onnx.ModelProto, **options: Any) -> Adopted:
    return adopt(model, height=HEIGHT, width=WIDTH, mean=MEAN, std=STD, **options)


def run(answer: Adopted, pixels: Array, *names: str) -> list[Array]:
    """These tensors of the adopted graph, for all images in one batch, computed by OpenVINO."""
    core = ov.Core()
    graph = core.read_model(answer.model)
    graph.add_outputs([name for name in names if name not in {output.any_name for output in graph.outputs}])
    results = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"PIXELS": pixels})
    return [results[name] for name in names]


def original(model: onnx.ModelProto, floats: Array, *names: str) -> list[Array]:
    """These tensors of the network as it was, computed by ONNX's reference implementation."""
    return [np.asarray(result) for result in ReferenceEvaluator(model).run(list(names), {"x": floats})]


def assert_same(found: Array, expected: Array, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_scores_and_embedding_are_those_of_the_network_on_normalised_floats() -> None:
    answer = adopted(classifier())
    assert (answer.classes, answer.features, answer.embedding) == (CLASSES, FEATURES, "f")
    logits, features = original(classifier(), normalised(images(3)), "y", "f")
    scores, embedding, named = run(answer, images(3), "SCORES", "EMBEDDING", "logits")
    assert_same(scores, softmax(logits))
    assert_same(embedding, features)
    assert_same(named, logits)


def test_the_openvino_engine_serves_it_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(adopted(classifier()).model)
    pixels = images(2)
    logits, features = original(classifier(), normalised(pixels), "y", "f")
    for index, answer in enumerate(OpenVinoEngine(tmp_path / "model.onnx", "f32", streams=1).run(list(pixels))):
        assert answer.scores is not None
        assert_same(answer.scores, softmax(logits)[index])
        assert_same(answer.embedding, features[index])


def test_the_graph_takes_pixels_and_normalises_first() -> None:
    model = onnx.load_from_string(adopted(classifier()).model)
    (pixels,) = model.graph.input
    assert (pixels.name, pixels.type.tensor_type.elem_type) == ("PIXELS", TensorProto.UINT8)
    assert dimensions(pixels) == ["batch", HEIGHT, WIDTH, 3]
    assert [node.op_type for node in model.graph.node[:4]] == ["Cast", "Transpose", "Sub", "Div"]
    assert [node.op_type for node in model.graph.node if "PIXELS" in node.input] == ["Cast"]
    assert {output.name: dimensions(output) for output in model.graph.output} == {
        "SCORES": ["batch", CLASSES],
        "EMBEDDING": ["batch", FEATURES],
    }


def dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_value or size.dim_param for size in value.type.tensor_type.shape.dim]


def test_the_size_a_network_asks_for_is_known_and_an_open_one_is_not() -> None:
    assert input_size(classifier()) == (HEIGHT, WIDTH)
    assert input_size(classifier(inputs="float[n,3,h,w] x")) is None
    assert input_size(classifier(inputs="float[n,3,8,w] x")) is None
    assert input_size(classifier(inputs="float[n,16,12,3] x")) == (16, 12)


def test_an_input_with_its_channels_last_is_not_transposed() -> None:
    model = classifier()
    nhwc = network(
        f"t = Transpose<perm=[0,3,1,2]>(x) conv = Conv<kernel_shape=[3,3]>(t, w) {BODY} {GEMM}",
        inputs=f"float[batch,{HEIGHT},{WIDTH},3] x",
    )
    for found, expected in zip(
        run(adopted(nhwc), images(2), "SCORES", "EMBEDDING"),
        run(adopted(model), images(2), "SCORES", "EMBEDDING"),
        strict=True,
    ):
        assert_same(found, expected)


@pytest.mark.parametrize("opset", [11, 12, 13, 17])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_a_network_with_a_softmax_of_its_own_gets_no_second_one(operator: str, opset: int) -> None:
    model = network(f"{CONV} z = Gemm<transB=1>(f, v, b) s = {operator}<axis=1>(z) y = Identity(s)", opset=opset)
    (logits,) = original(model, normalised(images(2)), "z")
    scores, named = run(adopted(model), images(2), "SCORES", "logits")
    assert_same(scores, softmax(logits))
    assert_same(named, logits)


def test_a_softmax_without_an_axis_is_the_networks_last() -> None:
    model = network(f"{CONV} z = Gemm<transB=1>(f, v, b) y = Softmax(z)")
    assert_same(run(adopted(model), images(2), "SCORES")[0], original(model, normalised(images(2)), "y")[0])


def test_before_opset_13_a_softmax_ran_over_all_axes_from_its_own_on() -> None:
    model = network(
        f"{CONV} z = Gemm<transB=1>(f, v, b) u = Unsqueeze<axes=[1]>(z) y = Softmax<axis=1>(u)",
        outputs=f"float[batch,1,{CLASSES}] y",
        opset=12,
    )
    # The reference implementation knows only the newer softmax.
    (logits,) = original(model, normalised(images(2)), "z")
    assert_same(run(adopted(model), images(2), "SCORES")[0], softmax(logits))


def test_a_convolution_as_the_last_layer_has_its_ones_removed() -> None:
    head = WEIGHTS["v"].reshape(CLASSES, FEATURES, 1, 1)
    model = network(f"{CONV} y = Conv(p, k)", outputs=f"float[batch,{CLASSES},1,1] y", k=head)
    answer = adopted(model)
    assert (answer.classes, answer.features, answer.embedding) == (CLASSES, FEATURES, "p")
    logits, features = original(model, normalised(images(2)), "y", "p")
    scores, embedding = run(answer, images(2), "SCORES", "EMBEDDING")
    assert_same(scores, softmax(logits.reshape(2, CLASSES)))
    assert_same(embedding, features.reshape(2, FEATURES))


def test_where_the_last_convolution_is_averaged_the_embedding_is_the_average_of_what_it_takes() -> None:
    head = WEIGHTS["v"].reshape(CLASSES, FEATURES, 1, 1)
    model = network(
        "conv = Conv<kernel_shape=[3,3]>(x, w) a = Relu(conv) d = Dropout(a) k = Conv(d, h, b) r = Relu(k)"
        "p = GlobalAveragePool(r) s = Softmax<axis=1>(p) y = Flatten(s)",
        h=head,
    )
    answer = adopted(model)
    assert (answer.classes, answer.features, answer.embedding) == (CLASSES, FEATURES, "d")
    before, probabilities = original(model, normalised(images(2)), "d", "y")
    scores, embedding = run(answer, images(2), "SCORES", "EMBEDDING")
    assert_same(scores, probabilities)
    assert_same(embedding, before.mean(axis=(2, 3)))
    # Its name, kept in a package, gives the same graph again, though the tensor is spatial.
    assert adopted(model, embedding="d").model == answer.model


def test_a_network_in_half_precision_is_served_in_single() -> None:
    model = classifier(
        inputs=f"float16[batch,3,{HEIGHT},{WIDTH}] x", outputs=f"float16[batch,{CLASSES}] y", dtype="float16"
    )
    logits, features = original(model, normalised(images(2), "float16"), "y", "f")
    scores, embedding = run(adopted(model), images(2), "SCORES", "EMBEDDING")
    assert scores.dtype == embedding.dtype == np.float32
    assert_same(scores, softmax(logits), tolerance=5e-3)
    assert_same(embedding, features.astype(np.float32), tolerance=5e-3)


def test_a_matmul_with_bias_and_temperature_is_a_last_layer() -> None:
    model = network(
        f"{CONV} m = MatMul(f, k) c = Add(b, m) t = Div(c, two) y = Identity(t)",
        k=WEIGHTS["v"].T,
        two=np.array(2.0),
    )
    answer = adopted(model)
    assert (answer.features, answer.embedding) == (FEATURES, "f")
    assert_same(run(answer, images(2), "SCORES")[0], softmax(original(model, normalised(images(2)), "y")[0]))


def test_a_last_layer_with_weights_that_are_computed_is_found() -> None:
    model = network(f"{CONV} t = Transpose(v) m = MatMul(f, t) y = Add(m, b)")
    assert adopted(model).embedding == "f"


def test_the_last_layer_of_a_quantised_network_is_found() -> None:
    model = network(
        f"{CONV} q = QuantizeLinear(f, step, zero) g = DequantizeLinear(q, step, zero)"
        "k = DequantizeLinear(i, step, mid) z = Gemm<transB=1>(g, k, b)"
        "c = QuantizeLinear(z, step, mid) y = DequantizeLinear(c, step, mid)",
        opset=19,
        step=np.array(0.05),
        zero=np.array(0, np.uint8),
        mid=np.array(0, np.int8),
        i=(WEIGHTS["v"] * 20).astype(np.int8),
    )
    answer = adopted(model)
    assert answer.embedding == "g"
    (logits,) = original(model, normalised(images(2)), "y")
    assert_same(run(answer, images(2), "SCORES")[0], softmax(logits), tolerance=0.06)  # one step of the quantisation


def test_the_networks_names_do_not_meet_the_served_ones() -> None:
    nodes = "SCORES = Conv<kernel_shape=[3,3]>(PIXELS, w) mean = Relu(SCORES) std = GlobalAveragePool(mean)"
    ends = "EMBEDDING = Flatten(std) logits = Gemm<transB=1>(EMBEDDING, v, b) pixels_f32 = Identity(logits)"
    model = network(f"{nodes} {ends}", inputs=IMAGES.replace(" x", " PIXELS"), outputs="float[batch,5] pixels_f32")
    expected = run(adopted(classifier()), images(2), "SCORES", "EMBEDDING")
    answer = adopted(model)
    assert answer.embedding == "EMBEDDING"
    for found, wanted in zip(run(answer, images(2), "SCORES", "EMBEDDING"), expected, strict=True):
        assert_same(found, wanted)


def test_a_batch_of_one_is_opened() -> None:
    model = classifier(inputs=f"float[1,3,{HEIGHT},{WIDTH}] x", outputs=f"float[1,{CLASSES}] y")
    open_scores, fixed_scores = (run(adopted(each), images(3), "SCORES")[0] for each in (classifier(), model))
    np.testing.assert_array_equal(open_scores, fixed_scores)


def test_a_batch_of_one_that_is_baked_into_a_reshape_still_serves_one_image(tmp_path: Path) -> None:
    model = network(
        f"conv = Conv<kernel_shape=[3,3]>(x, w) p = GlobalAveragePool(conv) f = Reshape(p, one) {GEMM}",
        inputs=f"float[1,3,{HEIGHT},{WIDTH}] x",
        outputs=f"float[1,{CLASSES}] y",
        one=np.array([1, FEATURES]),
    )
    (tmp_path / "model.onnx").write_bytes(adopted(model).model)
    (answer,) = OpenVinoEngine(tmp_path / "model.onnx", "f32", streams=1).run(list(images(1)))
    assert answer.scores is not None
    assert_same(answer.scores, softmax(original(model, normalised(images(1)), "y")[0])[0])


def test_of_several_outputs_the_only_row_is_the_scores() -> None:
    answer = adopted(classifier(outputs=f"float[batch,{FEATURES},6,8] a, {LOGITS}"))
    assert answer.model == adopted(classifier()).model


def test_of_a_row_of_scores_and_a_named_embedding_each_becomes_what_it_is() -> None:
    answer = adopted(classifier(outputs=f"float[batch,{FEATURES}] f, {LOGITS}"), embedding="f")
    assert answer.model == adopted(classifier()).model


@pytest.mark.parametrize("name", ["p", "y"])
def test_a_named_tensor_becomes_the_embedding(name: str) -> None:
    answer = adopted(classifier(), embedding=name)
    (expected,) = original(classifier(), normalised(images(2)), name)
    (embedding,) = run(answer, images(2), "EMBEDDING")
    assert answer.embedding == name
    assert answer.features == embedding.shape[1]
    assert_same(embedding, expected.reshape(2, -1))


@pytest.mark.parametrize(("name", "tensor"), [(None, "y"), ("f", "f"), ("p", "p")])
def test_a_network_that_only_embeds_has_no_scores(name: str | None, tensor: str) -> None:
    answer = adopted(classifier(), embedding=name, embedding_only=True)
    assert (answer.classes, answer.embedding) == (None, tensor)
    assert [output.name for output in onnx.load_from_string(answer.model).graph.output] == ["EMBEDDING"]
    (expected,) = original(classifier(), normalised(images(2)), tensor)
    assert_same(run(answer, images(2), "EMBEDDING")[0], expected.reshape(2, -1))


def test_what_no_output_needs_is_left_out() -> None:
    aside = np.zeros((CLASSES, FEATURES), np.float32)
    model = network(f"{CONV} {GEMM} z = Gemm<transB=1>(f, q) u = Reshape(z, s)", q=aside, s=np.array([1, -1, 1]))
    model.graph.output.add(name="u").type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.output[1].type.tensor_type.shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in range(3))
    assert adopted(model).model == adopted(classifier()).model


def test_the_same_network_gives_the_same_bytes_and_is_not_changed() -> None:
    model = classifier()
    before = model.SerializeToString(deterministic=True)
    assert adopted(model).model == adopted(model).model
    assert model.SerializeToString(deterministic=True) == before


def test_what_an_exporter_noted_is_left_out() -> None:
    model = classifier()
    model.metadata_props.add(key="home", value="a folder")
    model.graph.doc_string = "a folder"
    model.graph.node[0].doc_string = "a folder"
    assert adopted(model).model == adopted(classifier()).model


@pytest.mark.parametrize(("given", "kept"), [(3, 4), (8, 8), (12, 10)])
def test_the_ir_version_is_one_that_every_engine_reads(given: int, kept: int) -> None:
    model = classifier()
    model.ir_version = given
    list_constants_as_inputs(model)
    served = onnx.load_from_string(adopted(model).model)
    assert served.ir_version == kept
    assert [each.name for each in served.graph.input] == ["PIXELS"]


def list_constants_as_inputs(model: onnx.ModelProto) -> None:
    """As exporters did before ONNX 1.5, and some still do."""
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in model.graph.initializer
    )


def test_a_branch_that_takes_constants_from_around_it_keeps_them() -> None:
    branches = "then_branch = one () => (float[n,c] s) { s = Gemm<transB=1>(f, v, b) }, "
    branches += "else_branch = two () => (float[n,c] t) { t = MatMul(f, k) }"
    model = network(f"{CONV} y = If<{branches}>(yes)", yes=np.array(True), k=WEIGHTS["v"].T)
    answer = adopted(model, embedding="f")
    expected = run(adopted(classifier()), images(2), "SCORES")[0]
    assert_same(run(answer, images(2), "SCORES")[0], expected)


def test_functions_of_the_network_itself_are_written_out() -> None:
    model = network(
        f"conv = Conv<kernel_shape=[3,3]>(x, w) a = own.twice(conv) p = GlobalAveragePool(a) f = Flatten(p) {GEMM}",
        imports=', "own" : 1',
        functions='<domain: "own", opset_import: ["" : 17]> twice (c) => (d) { d = Add(c, c) }',
    )
    served = onnx.load_from_string(adopted(model).model)
    assert not served.functions
    assert [opset.domain for opset in served.opset_import] == [""]
    assert_same(run(adopted(model), images(1), "SCORES")[0], softmax(original(model, normalised(images(1)), "y")[0]))


def test_domains_that_are_imported_and_not_used_do_not_matter() -> None:
    assert adopted(classifier(imports=', "com.microsoft" : 1')).model == adopted(classifier()).model


def test_optional_inputs_that_are_left_out_stay_left_out() -> None:
    model = network(
        f"conv = Conv<kernel_shape=[3,3]>(x, w) a = Clip(conv, , two) p = GlobalAveragePool(a) f = Flatten(p) {GEMM}",
        two=np.array(2.0),
    )
    assert_same(run(adopted(model), images(2), "SCORES")[0], softmax(original(model, normalised(images(2)), "y")[0]))


def test_a_reshape_to_a_computed_shape_is_passed_on_the_way_to_the_embedding() -> None:
    model = network(
        f"{CONV} z = Gemm<transB=1>(f, v, b) s = Shape(z) y = Reshape(z, s)", outputs="float[batch, classes] y"
    )
    assert adopted(model).embedding == "f"


def test_shapes_that_the_network_computes_are_followed() -> None:
    model = network(
        "pads = Cast<to=7>(widths) q = Pad(x, pads) conv = Conv<kernel_shape=[3,3]>(q, w) "
        f"size = Shape(conv) n = Gather(size, first) shape = Concat<axis=0>(n, rest) f = Reshape(conv, shape) {GEMM}",
        widths=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.float32),
        first=np.array([0]),
        rest=np.array([-1]),
        v=np.random.default_rng(5).normal(size=(CLASSES, FEATURES * HEIGHT * WIDTH)),
    )
    answer = adopted(model)
    assert answer.features == FEATURES * HEIGHT * WIDTH
    assert_same(run(answer, images(2), "SCORES")[0], softmax(original(model, normalised(images(2)), "y")[0]), 1e-4)
