"""Cut out of an ONNX graph what some of its tensors are computed from, under names that collide with no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import onnx

from fovea_pipelines.adding.graphs.trace import names_needed, subgraphs


def cut(graph: onnx.GraphProto, wanted: Iterable[str], prefix: str) -> None:
    """Leave of a graph the nodes and constants that the wanted tensors need, each name with `prefix` before it.

    Inputs, outputs and shapes are gone, and notes too: exporters write paths of their own machine into them.
    """
    needed = set(wanted)
    nodes = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(names_needed(node))
            nodes.append(node)
    _keep(graph.initializer, lambda tensor: tensor.name in needed)
    _keep(graph.sparse_initializer, lambda sparse: sparse.values.name in needed)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    for field in ("input", "output", "value_info", "quantization_annotation", "doc_string", "metadata_props"):
        graph.ClearField(field)
    _rename(graph, prefix)


def _keep(parts: Any, is_needed: Callable[[Any], bool]) -> None:
    for index in reversed(range(len(parts))):
        if not is_needed(parts[index]):
            del parts[index]


def _rename(graph: onnx.GraphProto, prefix: str) -> None:
    # Every name gets the same prefix, also those that subgraphs take from outside, so all references stay whole.
    # onnx.compose.add_prefix leaves out a subgraph's references to constants outside it.
    for sparse in graph.sparse_initializer:
        sparse.values.name = prefix + sparse.values.name
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = prefix + named.name
    for node in graph.node:
        node.name = prefix + (node.name or next(iter(node.output), ""))
        for names in (node.input, node.output):
            names[:] = [prefix + name if name else "" for name in names]
        for notes in ("doc_string", "metadata_props"):
            node.ClearField(notes)
        for inner in subgraphs(node):
            _rename(inner, prefix)
