"""Python models that load all of PyTorch only to hold tensors."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from fovea_server.doctor import sources
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository

# All that is used of PyTorch where it only carries arrays from one library to another: what takes a tensor, and what
# makes one, to be handed on at once.
_TAKING = frozenset(("torch.utils.dlpack.to_dlpack", "torch.to_dlpack"))
_MAKING = frozenset(("torch.utils.dlpack.from_dlpack", "torch.from_numpy", "torch.from_dlpack", "torch.Tensor"))
_TRITON = ("pb_utils", "triton_python_backend_utils")
_AS_ARRAY = frozenset(("cpu", "detach", "contiguous", "numpy"))  # methods after which a tensor is the array it was


def examine(repository: Repository) -> Iterator[Finding]:
    for model in repository.models.values():
        if model.backend == "python":
            yield from _carriers(model)


def _carriers(model: Model) -> Iterator[Finding]:
    for source, tree in sources.parsed(model):
        line = _plain_import(tree)
        if line is None or not (used := _used(tree)) <= _TAKING | _MAKING or not _is_handed_on(tree):
            continue
        what = f"only for {', '.join(sorted(used))}" if used else "and never used"
        yield Finding(
            "warning",
            "needless-torch",
            model.name,
            str(source.relative_to(model.folder.parent)),
            f"torch is imported {what}",
            "Every instance of the model is a process that loads PyTorch, some seconds and hundreds of megabytes.",
            ("pb_utils.Tensor(name, numpy_array)", "pb_utils.Tensor.from_dlpack(name, tensor)"),
            line,
        )


def _plain_import(tree: ast.Module) -> int | None:
    """The line of `import torch`; None where there is none, or torch comes in in another way besides."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            return None
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.asname) for alias in node.names if alias.name.partition(".")[0] == "torch"]
            if any(asname for _, asname in names):
                return None
            lines += [node.lineno] * bool(names)
    return min(lines, default=None)


def _used(tree: ast.Module) -> set[str]:
    """Whole dotted names that begin with torch, and `torch` itself where it goes somewhere as a value."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner)
    return {name for node in names if (name := sources.dotted(node)).partition(".")[0] == "torch"}


def _is_handed_on(tree: ast.Module) -> bool:
    """Whether every tensor that is made goes straight to Triton, into DLPack or back into an array, or does so from the
    variable that it is put in; on any other one methods may be called, and that is computing too."""
    above = {id(inner): node for node in ast.walk(tree) for inner in ast.iter_child_nodes(node)}
    for maker in (node for node in ast.walk(tree) if isinstance(node, ast.Attribute)):
        if sources.dotted(maker) in _MAKING:
            call = above.get(id(maker))
            if not isinstance(call, ast.Call) or call.func is not maker:
                return False
            if not all(_is_taken(node, above) for node in _places(call, tree, above)):
                return False
    return True


def _places(tensor: ast.expr, tree: ast.Module, above: Mapping[int, ast.AST]) -> list[ast.expr]:
    """Where the tensor is used: where it is made, or wherever the variable is that it is assigned to."""
    match above.get(id(tensor)):
        case ast.Assign(targets=[ast.Name(id=variable)]):
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == variable]
            return [name for name in names if not _is_assigned(name, above)]
        case _:
            return [tensor]


def _is_assigned(name: ast.Name, above: Mapping[int, ast.AST]) -> bool:
    return isinstance(name.ctx, ast.Store) and isinstance(above.get(id(name)), ast.Assign)


def _is_taken(tensor: ast.expr, above: Mapping[int, ast.AST]) -> bool:
    """Whether it is made an array again, or is an argument of something that takes tensors."""
    node: ast.AST = tensor
    taker = above.get(id(node))
    while isinstance(taker, ast.Attribute) and taker.attr in _AS_ARRAY:
        if taker.attr == "numpy":
            return True
        node = above[id(taker)]
        taker = above.get(id(node))
    if isinstance(taker, ast.keyword):
        taker = above.get(id(taker))
    return isinstance(taker, ast.Call) and taker.func is not node and _takes(sources.dotted(taker.func))


def _takes(function: str) -> bool:
    return function in _TAKING or function.partition(".")[0] in _TRITON
