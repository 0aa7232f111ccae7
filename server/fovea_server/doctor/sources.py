"""What the Python files of a model say, without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from fovea_server.doctor.reading import Model


def trees(model: Model) -> Iterator[ast.Module]:
    yield from (tree for _, tree in parsed(model))


def parsed(model: Model) -> Iterator[tuple[Path, ast.Module]]:
    """Each file that is Python; what is not, or is nested too deep to read, is Triton's to complain of."""
    for source in model.sources:
        try:
            yield source, ast.parse(source.read_bytes())
        except (SyntaxError, ValueError, OSError, MemoryError, RecursionError):
            continue


def dotted(node: ast.expr) -> str:
    """`torch.utils.dlpack` of such an expression; "" of any other."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(names))) if isinstance(node, ast.Name) else ""


def last_name(node: ast.expr) -> str:
    """`resize` of `cv2.resize` and of `Image.open(file).resize`, which has no dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else dotted(node)
