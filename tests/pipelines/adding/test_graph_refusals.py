"""A network that cannot be served as it is gets one sentence that says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from tests.pipelines.adding.networks import (
    CLASSES,
    CONV,
    FEATURES,
    GEMM,
    HEIGHT,
    LOGITS,
    MEAN,
    STD,
    WEIGHTS,
    WIDTH,
    classifier,
    network,
)

from fovea_pipelines.adding.graphs.adopt import adopt, input_size
from fovea_pipelines.errors import BadNetwork


def refusal(model: onnx.ModelProto, height: int = HEIGHT, width: int = WIDTH, **options: Any) -> BadNetwork:
    with pytest.raises(BadNetwork) as caught:
        adopt(model, height=height, width=width, mean=MEAN, std=STD, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ("float[batch,1,8,10] x", "the network's input is x FLOAT (batch, 1, 8, 10); supported: "),
        ("float[batch,c,8,10] x", "the network's input is x FLOAT (batch, c, 8, 10); supported: "),
        ("float[batch,3,80] x", "the network's input is x FLOAT (batch, 3, 80); supported: "),
        ("float x", "the network's input is x FLOAT (); supported: "),
        ("uint8[batch,3,8,10] x", "the network's input is x UINT8 (batch, 3, 8, 10); supported: "),
        (
            "float[batch,3,8,10] x, float[1] t",
            "the network has 2 inputs where one is needed: x FLOAT (batch, 3, 8, 10)",
        ),
        ("float[8,3,8,10] x", "the network takes 8 images at once; supported: 1, or any number"),
    ],
)
def test_an_input_that_is_not_an_image_in_floats_is_described(inputs: str, found: str) -> None:
    assert str(refusal(classifier(inputs=inputs))).startswith(found)


def test_the_input_size_of_something_else_than_an_image_is_not_asked_for() -> None:
    with pytest.raises(BadNetwork, match="the network's input is x FLOAT"):
        input_size(classifier(inputs="float[batch,1,8,10] x"))


def test_a_size_other_than_the_contracts_is_named_with_it() -> None:
    assert str(refusal(classifier(), height=9)) == "the network takes images 8 pixels high; the contract makes them 9"
    nhwc = classifier(inputs="float[batch,h,12,3] x")
    assert str(refusal(nhwc, width=11)) == "the network takes images 12 pixels wide; the contract makes them 11"


def test_an_open_size_that_the_network_does_not_fit_is_found() -> None:
    model = network(
        f"conv = Conv<kernel_shape=[3,3]>(x, w) f = Flatten(conv) {GEMM}",
        inputs="float[batch,3,height,width] x",
        v=np.zeros((CLASSES, FEATURES * (HEIGHT - 2) * (WIDTH - 2))),
    )
    assert str(refusal(model, height=9)).startswith("the network does not fit x FLOAT (1, 3, 9, 10): ")


@pytest.mark.parametrize("operator", ["Sigmoid", "HardSigmoid"])
def test_a_network_of_several_labels_is_not_served(operator: str) -> None:
    found = refusal(network(f"{CONV} z = Gemm<transB=1>(f, v, b) y = {operator}(z)"))
    assert f"comes from a {operator}; networks of several labels are not served" in str(found)


def test_of_two_rows_none_is_guessed_to_be_the_scores() -> None:
    model = classifier(outputs=f"{LOGITS}, float[batch,{FEATURES}] f")
    found = refusal(model)
    assert str(found) == f"the network has 2 outputs: y FLOAT (1, {CLASSES}); f FLOAT (1, {FEATURES})"
    assert "--embedding" in (found.hint or "")
    assert str(refusal(model, embedding_only=True)) == str(found)


@pytest.mark.parametrize(
    ("nodes", "outputs", "reason"),
    [
        ("y = Conv<kernel_shape=[3,3]>(x, w)", "float[batch,6,6,8] y", "y FLOAT (1, 6, 6, 8) is not one score a class"),
        (f"{CONV} y = ArgMax<axis=1>(f)", "int64[batch,1] y", "y INT64 (1, 1) is not one score a class"),
        (f"{CONV} y = Identity(v)", LOGITS, "does not depend on the image"),
        (f"{CONV} y = ReduceMean<axes=[1]>(f)", "float[batch,1] y", "is a single score"),
        (f"{CONV} z = {GEMM[4:]} y = Softmax<axis=0>(z)", LOGITS, "Softmax runs over axis 0 of (1, 5)"),
        (f"{CONV} y = Softmax(p)", "float[n,6,1,1] y", "Softmax runs over axis 3 of (1, 6, 1, 1)"),
        (f"{CONV} z = {GEMM[4:]} y = NoSuchThing(z)", LOGITS, "not valid ONNX: No Op registered for NoSuchThing"),
        (f"{CONV} z = {GEMM[4:]} y = Add(z, nothing)", LOGITS, "not valid ONNX: Nodes in a graph must be"),
    ],
)
def test_an_output_that_is_not_scores_is_described(nodes: str, outputs: str, reason: str) -> None:
    assert reason in str(refusal(network(nodes, outputs=outputs)))


@pytest.mark.parametrize(
    "nodes",
    [
        f"{CONV} z = {GEMM[4:]} y = Tanh(z)",
        f"{CONV} u = {GEMM[4:]} t = Tanh(f) s = Gemm<transB=1>(t, v, b) y = Add(u, s)",
        f"{CONV} t = Transpose(f) y = Gemm<transA=1, transB=1>(t, v, b)",
        f"{CONV} s = Gemm<transA=1>(f, f) y = MatMul(f, s)",
        f"{CONV} s = Gemm<transA=1>(f, f) y = MatMul(row, s)",
        f"{CONV} k = Conv<kernel_shape=[1,1], group=6>(p, g) y = Flatten(k)",
        f"{CONV} k = Conv<kernel_shape=[3,3]>(x, w) q = GlobalAveragePool(k) y = Flatten(q)",
        f"{CONV} k = Conv<kernel_shape=[1,1]>(a, h) y = Flatten(k)",
    ],
)
def test_where_no_last_layer_is_found_an_embedding_is_to_be_named(nodes: str) -> None:
    outputs = "float[batch,c] y"
    constants = {
        "g": np.ones((FEATURES, 1, 1, 1)),
        "h": np.ones((CLASSES, FEATURES, 1, 1)),
        "row": np.ones((1, FEATURES)),
    }
    found = refusal(network(nodes, outputs=outputs, **constants))
    assert str(found).startswith("no embedding was found: ")
    assert (found.hint or "").startswith("name it with --embedding; candidates: ")


def test_the_last_tensors_that_could_be_the_embedding_are_listed() -> None:
    chain = " ".join(f"t{n + 1} = Tanh(t{n})" for n in range(9))
    found = refusal(network(f"{CONV} t0 = {GEMM[4:]} {chain} y = Tanh(t9)"))
    candidates, classless = (found.hint or "").split("; a network")
    assert candidates == "name it with --embedding; candidates: t3, t4, t5, t6, t7, t8, t9, y"
    assert "--embedding-only" in classless


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a", "a FLOAT (1, 6, 6, 8) is not one row of numbers an image, so it cannot be the embedding"),
        ("tokens", "tokens FLOAT (1, 6, 48) is not one row of numbers an image, so it cannot be the embedding"),
        ("column", "column FLOAT (6, 1) is not one row of numbers an image, so it cannot be the embedding"),
        ("x", "x FLOAT (1, 3, 8, 10) is not one row of numbers an image, so it cannot be the embedding"),
        ("v", "v FLOAT (5, 6) does not depend on the image"),
        ("nothing", "the network has no tensor called nothing"),
    ],
)
def test_a_named_tensor_that_is_no_embedding_is_described(name: str, reason: str) -> None:
    model = network(f"{CONV} tokens = Reshape(a, s) column = Transpose(f) {GEMM}", s=np.array([0, 0, -1]))
    assert str(refusal(model, embedding=name)) == reason
    assert str(refusal(model, embedding=name, embedding_only=True)) == reason
    assert (refusal(model, embedding=name).hint or "").endswith("candidates: p, f, y")


def test_an_output_that_is_no_row_is_not_taken_for_an_embedding() -> None:
    model = network("y = Conv<kernel_shape=[3,3]>(x, w)", outputs="float[batch,6,6,8] y")
    found = refusal(model, embedding_only=True)
    assert str(found) == "the output y FLOAT (1, 6, 6, 8) is not one row of numbers an image"


@pytest.mark.parametrize("opset", [9, 10, onnx.defs.onnx_opset_version() + 1])
def test_an_opset_that_is_not_known_is_named(opset: int) -> None:
    assert str(refusal(classifier(opset=opset))).startswith(f"the network's opset is {opset}; supported: 11 to ")


def test_before_opset_13_a_softmax_over_the_whole_batch_is_refused() -> None:
    model = network(f"{CONV} z = {GEMM[4:]} y = Softmax<axis=0>(z)", opset=12)
    assert str(refusal(model)) == "the network's Softmax runs over axis 0 of (1, 5), not over its classes"


def test_a_network_that_names_no_opset_is_refused() -> None:
    model = classifier()
    del model.opset_import[:]
    assert str(refusal(model)).startswith("the network's opset is missing; supported: 11 to ")


@pytest.mark.parametrize("domain", ["com.microsoft", "org.example"])
def test_operators_that_are_not_onnxs_own_are_named(domain: str) -> None:
    branch = f"one () => (float[n,c] s) {{ s = {domain}.Special(f) }}"
    for nodes in (f"y = {domain}.Special(f)", f"y = If<then_branch = {branch}, else_branch = {branch}>(yes)"):
        model = network(f"{CONV} {nodes}", imports=f', "{domain}" : 1', yes=np.array(True))
        assert str(refusal(model)) == f"the network uses operators that no engine here has: {domain}.Special"


def test_a_function_that_calls_itself_is_refused() -> None:
    model = network(
        f"{CONV} g = own.again(f) y = Gemm<transB=1>(g, v, b)",
        imports=', "own" : 1',
        functions='<domain: "own", opset_import: ["" : 17, "own" : 1]> again (c) => (d) { d = own.again(c) }',
    )
    assert str(refusal(model)).startswith("the network's functions cannot be written out: ")


def test_weights_shorter_than_their_shape_are_refused() -> None:
    model = classifier()
    model.graph.initializer[0].raw_data = WEIGHTS["w"].astype("float32").tobytes()[:-4]
    assert "too small for the declared shape" in str(refusal(model))
