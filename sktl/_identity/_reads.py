"""What a piece of code reads: globals and what it closes over, but for what it only ever writes to."""

from __future__ import annotations

import dis
import functools
from collections import Counter, deque
from dataclasses import dataclass
from types import CodeType

MUTATORS: dict[type, set[str]] = {  # what changes a value and returns nothing, so that nothing is read of it
    list: {"append", "extend", "insert", "clear"},
    deque: {"append", "appendleft", "extend", "clear"},
    set: {"add", "update", "discard", "clear"},
    dict: {"update", "clear"},
    Counter: {"update", "clear"},
    int: {"+="},
    float: {"+="},
}
PADDING = {"EXTENDED_ARG", "CACHE", "NOP", "PRECALL", "RESUME", "PUSH_NULL"}
Chain = tuple[str, ...]  # a name and the attributes that are taken of it


@dataclass(frozen=True)
class Reads:
    """What one code object reads; code within it is by itself, but for what both close over.

    Attributes
    ----------
    globals : tuple of Chain
        In order.
    free : dict of str to tuple of Chain
        By the name that is closed over.
    imports : tuple of str
        Modules imported while it runs.
    """

    globals: tuple[Chain, ...]
    free: dict[str, tuple[Chain, ...]]
    imports: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def reads_of(code: CodeType) -> Reads:
    """Return what `code` reads."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in PADDING]
    names: dict[Chain, None] = {}
    free: dict[str, dict[Chain, None]] = {name: {} for name in code.co_freevars}
    imports: dict[str, None] = {}
    for i, step in enumerate(steps):
        name = step.opname
        if name in ("LOAD_NAME", "LOAD_GLOBAL") or (name.startswith("LOAD_") and name.endswith("_OR_GLOBALS")):
            names[_chain(steps, i)] = None
        elif name in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF") and step.argval in free:
            free[step.argval][_chain(steps, i)] = None
        elif name == "IMPORT_NAME":
            imports[step.argval if _is_absolute(steps, i) else f".{step.argval}"] = None
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            for name, chains in reads_of(inner).free.items():
                if name in free:
                    free[name].update(dict.fromkeys(chains))
    return Reads(tuple(names), {name: tuple(chains) for name, chains in free.items()}, tuple(imports))


def _chain(steps: list[dis.Instruction], i: int) -> Chain:
    """Return the name loaded in step `i`, with the attributes taken of it; "+=" where it is only counted up."""
    name = steps[i].argval
    match [(step.opname, step.argval, step.argrepr) for step in steps[i + 1 : i + 4]]:
        case [("LOAD_CONST" | "LOAD_SMALL_INT", *_), (_, _, "+="), ("STORE_GLOBAL" | "STORE_DEREF", same, _)]:
            if same == name:
                return (name, "+=")
    chain = [name]
    for step in steps[i + 1 :]:
        if step.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        chain.append(step.argval)
    return tuple(chain)


def _is_absolute(steps: list[dis.Instruction], i: int) -> bool:
    """Whether the import of step `i` has level 0, which is loaded before the list of names."""
    return i >= 2 and steps[i - 2].argval == 0
