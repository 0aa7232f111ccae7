"""Python models that load all of PyTorch only to hold tensors."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from fovea_server.doctor import sources
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository

# All that is used of PyTorch where it only carries arrays from one library to another.
_CARRYING = frozenset(
    (
        "torch.utils.dlpack.from_dlpack",
        "torch.utils.dlpack.to_dlpack",
        "torch.from_numpy",
        "torch.from_dlpack",
        "torch.Tensor",
    )
)


def examine(repository: Repository) -> Iterator[Finding]:
    for model in repository.models.values():
        if model.backend == "python":
            yield from _carriers(model)


def _carriers(model: Model) -> Iterator[Finding]:
    for source, tree in sources.parsed(model):
        line = _plain_import(tree)
        if line is None or not (used := _used(tree)) <= _CARRYING:
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
