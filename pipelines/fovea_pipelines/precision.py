"""What a network computes in on a CPU: 32-bit floats, bfloat16 or 8-bit integers; and which of them is the fastest that
this CPU is good at and the model keeps its accuracy in."""

from __future__ import annotations

from pathlib import Path

from fovea_pipelines import cpu
from fovea_pipelines.errors import BadPackage, MissingArtefact
from fovea_pipelines.package import ModelPackage

AUTO = "auto"
VARIABLE = "FOVEA_PRECISION"  # of the environment, by which the gateway tells the models that Triton runs
# Fastest first, with the instructions (as Linux calls them) that make it so; any of them will do.
_NEEDS = {
    "int8": frozenset(("amx_int8", "avx512_vnni", "avx_vnni")),
    "bf16": frozenset(("amx_bf16", "avx512_bf16")),
    "f32": frozenset[str](),
}
PRECISIONS = tuple(_NEEDS)
_ROUNDING = 1e-9  # of differences of such shares
_MOST_LOST = 0.010  # of top-1 against f32, by a precision that nobody asked for


def choose(package: ModelPackage, wanted: str = AUTO, flags: frozenset[str] | None = None) -> str:
    """The precision to serve a package in on a CPU with these `flags` (by default this machine's).

    "auto" is the fastest that the CPU has instructions for and whose accuracy, as the package records it, is at most
    1.0 point of top-1 below f32. A package that is always served in one precision overrules what is wanted. Raises
    BadPackage or MissingArtefact where what was asked for cannot be.
    """
    flags = cpu.flags() if flags is None else flags
    wanted = package.served_in or wanted
    if wanted == AUTO:
        return next(each for each in PRECISIONS if _is_native(each, flags) and _is_allowed(package, each))
    if wanted not in PRECISIONS:
        raise BadPackage(f"there is no precision {wanted!r}; choose from {', '.join((AUTO, *PRECISIONS))}")
    if wanted == "int8" and "int8" not in package.artefacts:
        raise MissingArtefact(
            f"{package.name} has no 8-bit form; --precision auto serves it in another",
            f"fovea models build {package.name} --precision int8 --images FOLDER",
        )
    if wanted == "bf16" and not _is_native(wanted, flags):
        raise BadPackage(f"this CPU does not compute in {wanted} (none of {', '.join(sorted(_NEEDS[wanted]))})")
    return wanted


def artefact_of(package: ModelPackage, precision: str) -> Path:
    """The graph that is run: bfloat16 is only another way to run the one of 32-bit floats."""
    artefact = package.artefacts["int8" if precision == "int8" else "onnx"]
    artefact.check()
    return artefact.path


def native() -> list[str]:
    """What this CPU has instructions for, fastest first."""
    flags = cpu.flags()
    return [each for each in PRECISIONS if _is_native(each, flags)]


def allowed(package: ModelPackage) -> list[str]:
    """What may be served without having been asked for on this CPU, fastest first."""
    if package.served_in is not None:
        return [package.served_in]
    return [each for each in native() if _is_allowed(package, each)]


def of_floats(precision: str) -> str:
    """What the floats of a graph are computed in: in an 8-bit one a few operators stay in the fastest there is."""
    if precision != "int8":
        return precision
    return "bf16" if _is_native("bf16", cpu.flags()) else "f32"


def _is_native(precision: str, flags: frozenset[str]) -> bool:
    return not _NEEDS[precision] or bool(_NEEDS[precision] & flags)


def _is_allowed(package: ModelPackage, precision: str) -> bool:
    """What was not measured is not allowed."""
    if precision == "f32":
        return True
    measured = package.accuracy
    if precision not in measured or "f32" not in measured:
        return False
    return measured["f32"] - measured[precision] <= _MOST_LOST + _ROUNDING
