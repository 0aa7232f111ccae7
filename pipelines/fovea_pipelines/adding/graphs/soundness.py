"""Bring an ONNX network into the form the rest works on, and let ONNX's own checker judge it, before and after."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.message import EncodeError
from onnx import inliner

from fovea_pipelines.adding.graphs.trace import subgraphs
from fovea_pipelines.errors import BadNetwork

OLDEST_OPSET = 11
_ONNX_DOMAINS = ("", "ai.onnx")
_COMPLAINTS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    EncodeError,
    RuntimeError,
    ValueError,
    IndexError,
    TypeError,
)


def sound(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the network with its local functions written out and one opset, that of ONNX itself.

    Raises BadNetwork for an opset older than 11 or newer than the installed onnx knows, for operators that are not
    ONNX's own, and for what the checker finds wrong.
    """
    copy = _without_functions(network)
    copy.graph.name = copy.graph.name or "network"
    _require_known_operators(copy)
    opset = _opset(copy)
    copy.opset_import.clear()
    copy.opset_import.add(domain="", version=opset)
    checked(copy, full=False)
    return copy


def checked(network: onnx.ModelProto, *, full: bool) -> bytes:
    """The network's bytes, the same for the same network; `full` also infers every shape.

    Raises BadNetwork with what the checker complains about.
    """
    try:
        content = bytes(network.SerializeToString(deterministic=True))
        onnx.checker.check_model(content, full_check=full)
    except _COMPLAINTS as error:
        raise BadNetwork(f"the network is not valid ONNX: {' '.join(str(error).split())}") from error
    return content


def _without_functions(network: onnx.ModelProto) -> onnx.ModelProto:
    if network.functions:
        try:
            return inliner.inline_local_functions(network)
        except _COMPLAINTS as error:
            reason = " ".join(str(error).split())
            raise BadNetwork(f"the network's functions cannot be written out: {reason}") from error
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    return copy


def _require_known_operators(network: onnx.ModelProto) -> None:
    """No engine here runs other operators than ONNX's own; that a domain is only imported does not matter."""
    foreign = {f"{node.domain}.{node.op_type}" for node in _nodes(network.graph) if node.domain not in _ONNX_DOMAINS}
    if foreign:
        raise BadNetwork(
            f"the network uses operators that no engine here has: {', '.join(sorted(foreign))}",
            hint="export it with the operators of ONNX alone, before any optimiser rewrites them",
        )


def _opset(network: onnx.ModelProto) -> int:
    versions = {int(opset.version) for opset in network.opset_import if opset.domain in _ONNX_DOMAINS}
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1 or not OLDEST_OPSET <= min(versions) <= newest:
        found = ", ".join(map(str, sorted(versions))) or "missing"
        raise BadNetwork(
            f"the network's opset is {found}; supported: {OLDEST_OPSET} to {newest}",
            hint="export it with opset_version=17, or convert it with onnx.version_converter",
        )
    return min(versions)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from _nodes(inner)
