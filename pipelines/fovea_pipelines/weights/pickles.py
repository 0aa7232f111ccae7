"""Read a pickle as data: classes and callables are only names, objects only mappings, and nothing is ever called.

Python's own unpickler imports what a file names and calls it. This one walks the instructions (`pickletools.genops`)
and knows the few that a state dict is written with; it has no way to reach an attribute of anything.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from fovea_pipelines.errors import BadWeights

SAVE_THE_STATE_DICT = "save the network's tensors alone: torch.save(model.state_dict(), path)"


@dataclass(frozen=True)
class Name:
    """A class or callable that the pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Object:
    """An object of a class that is only a name: what its attributes would be, and nothing else of it."""

    of: Name
    attributes: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Vocabulary:
    """What a pickle may say, each refusing by BadWeights what it does not know."""

    name: Callable[[Name], object]
    """Asked for each name; what stands for it."""
    call: Callable[[object, tuple[Any, ...]], object]
    """What stands for the result of calling a name with these arguments."""
    storage: Callable[[object], object]
    """What stands for something kept outside the pickle."""


class _Mark:
    """Where a run of items begins on the stack."""


def read(file: BinaryIO, vocabulary: Vocabulary) -> Any:
    """What the pickle at the file's position holds; leaves the file after it. Raises BadWeights and ValueError."""
    return _Machine(vocabulary).run(file)


class _Machine:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._say = vocabulary
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        for instruction, argument, _ in pickletools.genops(file):
            if instruction.name == "STOP":
                break
            self._step(instruction.name, argument)
        return self._pop()

    def _step(self, instruction: str, argument: Any) -> None:
        if instruction in _WRITTEN_OUT:
            self._stack.append(argument)
        elif instruction in _CONSTANTS:
            # Lists and dicts grow: each time a new one.
            self._stack.append(_CONSTANTS[instruction]())
        elif instruction in _STEPS:
            _STEPS[instruction](self, argument)
        elif instruction not in _SILENT:
            raise BadWeights(f"uses {instruction}, which no state dict needs; it was not loaded", SAVE_THE_STATE_DICT)

    def _pop(self) -> Any:
        if not self._stack:
            raise BadWeights("is damaged: an instruction lacks what it works on")
        return self._stack.pop()

    def _run_of_items(self) -> list[Any]:
        """What was put on the stack since the last mark, which goes too."""
        for index in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[index], _Mark):
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise BadWeights("is damaged: an instruction lacks what it works on")

    def _tuple_of(self, count: int) -> None:
        self._stack.append(tuple(reversed([self._pop() for _ in range(count)])))

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise BadWeights(f"is damaged: an instruction lacks the {kind.__name__} it works on")
        return self._stack[-1]

    def _append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _set(self, flat: list[Any]) -> None:
        self._top(dict).update(pairs(zip(flat[::2], flat[1::2], strict=True)))

    def _new_dict(self, flat: list[Any]) -> None:
        self._stack.append({})
        self._set(flat)

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top(object)

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise BadWeights("is damaged: it refers to something it does not hold")
        self._stack.append(self._memo[index])

    def _name(self, module: object, name: object) -> None:
        self._stack.append(self._say.name(Name(str(module), str(name))))

    def _call(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(arguments, tuple):
            raise BadWeights("is damaged: something is called without arguments")
        self._stack.append(self._say.call(name, arguments))

    def _build(self) -> None:
        """Give an object its attributes. An OrderedDict has some too (`_metadata`); they are no tensors."""
        state = self._pop()
        if isinstance(self._top(object), Object) and isinstance(state, dict):
            self._top(Object).attributes = state


def pairs(items: Any) -> dict[Any, Any]:
    """A mapping whose keys are text or numbers: hashing a tuple nested without end would end the process."""
    found = {}
    for key, value in items:
        if not isinstance(key, str | int | float):
            raise BadWeights(f"is damaged: a mapping has a {type(key).__name__} as key")
        found[key] = value
    return found


# The argument is the value.
_WRITTEN_OUT = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
    "MARK": _Mark,
}
_SILENT = ("PROTO", "FRAME")
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._run_of_items())),
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "LIST": lambda machine, _: machine._stack.append(machine._run_of_items()),
    "DICT": lambda machine, _: machine._new_dict(machine._run_of_items()),
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine._append(machine._run_of_items())),
    "SETITEM": lambda machine, _: machine._set([machine._pop(), machine._pop()][::-1]),
    "SETITEMS": lambda machine, _: machine._set(machine._run_of_items()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, index: machine._remember(index)),
    "MEMOIZE": lambda machine, _: machine._remember(len(machine._memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine._recall(index)),
    "GLOBAL": lambda machine, pair: machine._name(*pair.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine._name(*[machine._pop(), machine._pop()][::-1]),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda machine, _: machine._call()),
    "BUILD": lambda machine, _: machine._build(),
    "BINPERSID": lambda machine, _: machine._stack.append(machine._say.storage(machine._pop())),
}
