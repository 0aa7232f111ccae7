"""What a configuration may leave out, since Triton completes it when it loads the model.

Source: AutoCompleteConfig of the backends and, for Python models, `auto_complete_config` (Triton 2.51). A server that
was started with --disable-auto-complete-config completes nothing; the configuration cannot tell.
"""

from __future__ import annotations

import ast

from fovea_server.doctor import sources
from fovea_server.doctor.reading import Model

_NEVER = ("", "pytorch")  # "": no file of the model tells Triton which backend to ask
_FILLING_IN = ("dali", "openvino", "tensorflow", "tensorrt")  # also where all tensors are stated
_ADDING_A_BATCHER = ("onnxruntime", "openvino", "tensorflow")
_BATCHERS_OF_THEIR_OWN = ("tensorrtllm", "vllm")


def completes(model: Model) -> bool:
    """Whether tensors that the configuration does not state, and its batch size, may still be added."""
    if model.is_ensemble or model.backend in _NEVER:
        return False
    if model.backend == "python":
        return _says(model, "auto_complete_config") or (_is_partial(model) and _comes_from_elsewhere(model))
    return _is_partial(model)


def leaves_open(model: Model, which: str) -> bool:
    """Whether the model may have more inputs, or outputs, than the configuration states."""
    return completes(model) and (model.backend == "python" or not getattr(model.config, which))


def fills_in(model: Model) -> bool:
    """Whether a type or a shape that is left out of a stated tensor may still be added."""
    return completes(model) or model.backend in _FILLING_IN


def leaves_batch_open(model: Model) -> bool:
    """Whether the largest batch, and with it a first dimension of every tensor, may still be added."""
    if model.backend == "python" and _says(model, "set_max_batch_size"):
        return completes(model)
    return model.config.max_batch_size == 0 and (completes(model) or model.backend in _FILLING_IN)


def batches_itself(model: Model) -> bool:
    """Whether its backend merges requests without a batcher of Triton's."""
    return model.backend in _BATCHERS_OF_THEIR_OWN


def adds_dynamic_batching(model: Model) -> bool:
    """To a model that takes batches and names no batcher."""
    if model.backend == "python" and _says(model, "auto_complete_config"):
        return _says(model, "set_dynamic_batching")
    return model.backend == "tensorrt" or (completes(model) and model.backend in ("python", *_ADDING_A_BATCHER))


def _is_partial(model: Model) -> bool:
    return not (model.config.input and model.config.output)


def _says(model: Model, name: str) -> bool:
    """Whether its Python files define or call something of that name."""
    return any(name == _name(node) for tree in sources.trees(model) for node in ast.walk(tree))


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.FunctionDef):
        return node.name
    return node.attr if isinstance(node, ast.Attribute) else None


def _comes_from_elsewhere(model: Model) -> bool:
    """Whether the class that Triton runs, or one above it, is written in a file that is not looked into."""
    for node in (node for tree in sources.trees(model) for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef) and node.name == "TritonPythonModel" and node.bases:
            return True
        if isinstance(node, ast.ImportFrom) and "TritonPythonModel" in {
            each.asname or each.name for each in node.names
        }:
            return True
    return False
