"""The numbers and sizes that a Python file gives a name once and for all, as far as reading it can tell."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from fovea_server.doctor import sources


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """What `SIZE`, or `self.size` in a method, stands for; nothing of a name that something else is called too."""
    stored = Counter(_stored(tree))
    return {name: value for name, value in _given(tree) if name and stored[name] == 1}


def _given(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        yield from ((sources.dotted(target), value) for target, value in _assigned(node))
        if isinstance(node, ast.ClassDef):
            yield from ((f"self.{target.id}", value) for target, value in _of_class(node))


def _of_class(definition: ast.ClassDef) -> Iterator[tuple[ast.Name, ast.expr]]:
    for statement in definition.body:
        yield from ((target, value) for target, value in _assigned(statement) if isinstance(target, ast.Name))


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each target of an assignment with its value: both of `W = H = 224`, both of `W, H = 320, 240`."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _pairs(target, node.value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
    elif isinstance(value, ast.Tuple | ast.List) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)


def _stored(tree: ast.Module) -> Iterator[str]:
    """Every name that is given to something, as often as it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield sources.dotted(node)
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (node.name, f"self.{node.name}")
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"self.{target.id}" for target, _ in _of_class(node))
