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
CHANGES = set().union(*MUTATORS.values()) | {"pop", "popitem", "popleft", "setdefault", "remove", "move_to_end"}
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
    changes : frozenset of str
        Names, global or free, whose container it changes: items are set, or a method does so.
    rebinds : frozenset of str
        Names, global or free, that it lets stand for another value.
    """

    globals: tuple[Chain, ...]
    free: dict[str, tuple[Chain, ...]]
    imports: tuple[str, ...]
    changes: frozenset[str]
    rebinds: frozenset[str]


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
    changes, rebinds = _changed(code)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            changes |= reads_of(inner).changes & free.keys()
            rebinds |= reads_of(inner).rebinds & free.keys()
    taken = {name: tuple(found) for name, found in free.items()}
    return Reads(tuple(names), taken, tuple(imports), frozenset(changes), frozenset(rebinds))


def _changed(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the names whose containers are changed, and those that are bound anew."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
    outer = {*code.co_freevars, *code.co_names}
    changes, rebinds = set(), set()
    for i, step in enumerate(steps):
        if step.opname in ("STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL") and step.argval in outer:
            rebinds.add(step.argval)
        elif step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):  # container[key] = ...: the key comes last
            end = i
            if [(before.opname, before.arg) for before in steps[max(0, i - 2) : i]] == [("SWAP", 3), ("SWAP", 2)]:
                # container[key] += ...: both are copied, and what is then computed comes after them.
                copies = [(one.opname, one.arg) for one in steps[:i]]
                twice = [k for k in range(i - 1) if copies[k] == copies[k + 1] == ("COPY", 2)]
                end = twice[-1] if twice else i
            container = _start(steps, _start(steps, end)) if i else 0
            changes.add(steps[container].argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argval in CHANGES and i:
            changes.add(steps[i - 1].argval)
    return {name for name in changes if isinstance(name, str) and name in outer}, rebinds


def _start(steps: list[dis.Instruction], end: int) -> int:
    """Return where the expression starts whose value is on the stack before step `end`."""
    wanted = 1
    for i in range(end - 1, -1, -1):
        wanted -= dis.stack_effect(steps[i].opcode, steps[i].arg, jump=False)
        if wanted <= 0:
            return i
    return 0


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
