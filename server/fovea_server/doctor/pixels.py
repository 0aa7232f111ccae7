"""Whether pictures are stretched on their way to the network."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import PipelineError
from fovea_pipelines.package import contract_of
from fovea_server.doctor import sources
from fovea_server.doctor.constants import constants
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository, line_of

_KEEPS_RATIO = frozenset(("mode", "roi_start", "roi_end"))
_PAIRS = ("resize", "Resize")
_OF_ARRAYS = ("np.resize", "numpy.resize")  # repeats an array's values, and knows no pictures
_OF_MASKS = ("INTERP_NN", "INTER_NEAREST", "INTER_NEAREST_EXACT", "NEAREST", "NEAREST_EXACT")  # keep classes apart
_SMALLEST_SIDE = 16  # pixels of a picture


def examine(repository: Repository) -> Iterator[Finding]:
    for model in repository.models.values():
        yield from _by_contract(model)
        yield from _by_source(model)
        yield from _by_pipeline(model)


def _by_contract(model: Model) -> Iterator[Finding]:
    file = model.folder / "contract.toml"
    if not file.is_file():
        return
    try:
        contract = contract_of(model.folder)
    except PipelineError as error:
        yield Finding(
            "error",
            "bad-contract",
            model.name,
            _place(model, file),
            "the contract cannot be read",
            f"{error}.",
            ("correct it (docs/contract.md)",),
        )
        return
    if contract.resize == "exact":
        line = line_of(file.read_text(encoding="utf-8"), r"(?m)^\s*resize\s*=")
        yield _stretched(model, _place(model, file), line, _size(contract), _CONTRACT_REMEDY)


def _by_source(model: Model) -> Iterator[Finding]:
    for source, tree in sources.parsed(model):
        named = constants(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if size := _stretch(call, named):
                yield _stretched(model, _place(model, source), call.lineno, size, _SOURCE_REMEDY)


def _by_pipeline(model: Model) -> Iterator[Finding]:
    """A serialised DALI pipeline is a protobuf message: the arguments of its operators stand in it by name."""
    found = (each for version in model.served for each in version.glob("*.dali"))
    for pipeline in (each for each in found if each.is_file()):
        content = pipeline.read_bytes()
        if b"resize_x" in content and b"resize_y" in content and b"not_smaller" not in content:
            yield _stretched(model, _place(model, pipeline), None, "a fixed width and height", _SOURCE_REMEDY)


def _stretch(call: ast.Call, constants: Mapping[str, ast.expr]) -> str | None:
    """The size in words of a picture's resize to a fixed width and height; None of any other call."""
    function = sources.dotted(call.func)
    if sources.last_name(call.func) not in _PAIRS or function in _OF_ARRAYS or _is_of_mask(call):
        return None
    named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if _KEEPS_RATIO & set(named):
        return None
    if {"resize_x", "resize_y"} <= set(named):
        return _in_words([_meant(named[side], constants) for side in ("resize_x", "resize_y")])
    for value in (named.get("size"), named.get("dsize"), *call.args[:2]):
        if value is not None and (sides := _two_sides(_meant(value, constants), constants)):
            return _in_words(sides)
    return None


def _meant(value: ast.expr, constants: Mapping[str, ast.expr]) -> ast.expr:
    """What a name stands for where that is known, else the expression as it is."""
    return constants.get(sources.dotted(value), value)


def _is_of_mask(call: ast.Call) -> bool:
    given = (*call.args, *(keyword.value for keyword in call.keywords))
    return any(sources.dotted(value).rpartition(".")[2] in _OF_MASKS for value in given)


def _two_sides(value: ast.expr, constants: Mapping[str, ast.expr]) -> list[ast.expr] | None:
    """Width and height, where both are known and those of a picture."""
    sides = [_meant(side, constants) for side in value.elts] if isinstance(value, ast.Tuple | ast.List) else []
    known = all(isinstance(side, ast.Constant) and _is_side(side.value) for side in sides)
    return sides if len(sides) == 2 and known else None


def _is_side(value: object) -> bool:
    return isinstance(value, int | float) and value >= _SMALLEST_SIDE


def _in_words(sides: list[ast.expr]) -> str | None:
    """None where one of them is too short for a picture."""
    if any(isinstance(side, ast.Constant) and not _is_side(side.value) for side in sides):
        return None
    return " x ".join(map(_side_in_words, sides))


def _side_in_words(side: ast.expr) -> str:
    try:
        return ast.unparse(side)
    except RecursionError:
        return "..."


def _size(contract: Contract) -> str:
    assert isinstance(contract.resize_to, tuple)
    return f"{contract.resize_to[0]} x {contract.resize_to[1]}"


def _place(model: Model, file: Path) -> str:
    return str(file.relative_to(model.folder.parent))


_CONTRACT_REMEDY = ('resize = "short_side"', "resize_to = 256", 'crop = "centre"')
_SOURCE_REMEDY = ('fn.resize(images, size=256, mode="not_smaller")', "fn.crop(images, crop=(224, 224))")


def _stretched(model: Model, file: str, line: int | None, size: str, remedy: tuple[str, ...]) -> Finding:
    return Finding(
        "warning",
        "stretched",
        model.name,
        file,
        f"pictures are resized to {size}, whatever their shape",
        "A 4:3 photograph is squeezed to 0.75 of its width; most networks learned from pictures whose shorter side was "
        "resized and whose middle was cut out.",
        (*remedy, "# unless the training stretched them too; `fovea skew` measures it"),
        line,
    )
