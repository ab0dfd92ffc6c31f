"""How functions are taken in: known ones by name, others with all that their code can reach."""

from __future__ import annotations

import builtins
import functools
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import torch

from sktl._identity._known import found, is_known_home, is_known_module
from sktl._identity._reads import MUTATORS, reads_of
from sktl._identity._values import add_attributes, add_items, add_mapping
from sktl._identity._walk import Walk, derived, exact

DYNAMIC = {  # what reaches any name
    "builtins.eval", "builtins.exec", "builtins.globals", "builtins.compile", "builtins.__import__",
    "importlib.import_module", "importlib.__import__", "sys._getframe", "inspect.currentframe", "inspect.stack",
    "runpy.run_path", "runpy.run_module",
}  # fmt: skip
DYNAMO = "torch._dynamo.eval_frame"
KNOWN_OPERATORS = ("aten", "prims", "torchvision")
CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict, Counter)
DESCRIPTORS = (
    types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)  # fmt: skip


class Absent:
    """What a name stands for that stands for nothing."""


@exact(types.FunctionType)
def add_function(walk: Walk, value: types.FunctionType) -> None:
    """Take in a function: its code, defaults, attributes, what it closes over and the globals that it reads."""
    home = value.__globals__.get("__name__")
    is_known = is_known_home(home, value.__globals__)
    for named in (home, value.__module__) if is_known else ():
        if found(str(named), value.__qualname__) is value and _is_known_inside(value):
            walk.say("function", str(named), value.__qualname__)
            if f"{named}.{value.__qualname__}" in DYNAMIC:
                walk.cannot(f"code that calls {value.__qualname__}")
            return
    if walk.is_met(value):
        return
    if is_known and home == DYNAMO and not value.__dict__.get("_torchdynamo_disable"):
        walk.say("compiled")
        walk.cannot("a function that torch compiles")  # it keeps what it has compiled, and by which backend
        walk.add(value.__dict__.get("_torchdynamo_orig_callable"))
        return
    add_code(walk, value.__code__, None if is_known else value.__globals__)
    walk.add(value.__defaults__)
    walk.add(value.__kwdefaults__)
    add_attributes(walk, value.__dict__)
    reads = reads_of(value.__code__)
    free = reads.free
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or ()):
        try:
            content = cell.cell_contents
        except ValueError:
            walk.say("empty")
            continue
        if home == "torch.nn.utils.parametrize" and isinstance(content, torch.nn.Module):
            continue  # which module the class was made for; its copies share the class
        if name in reads.rebinds and not is_known:
            walk.changed.add(id(cell))
        elif name in reads.changes and type(content) in CONTAINERS and not is_known:
            walk.changed.add(id(content))
        for chain in free[name] or ((name,),):
            _add_read(walk, content, chain[1:], id(cell))


def _is_known_inside(function: Any) -> bool:
    """Whether what a function was put around is a known module's too; decorators keep notes of their calls there."""
    inner = getattr(function, "__wrapped__", None)
    if not isinstance(inner, types.FunctionType):
        return inner is None
    return is_known_home(inner.__globals__.get("__name__"), inner.__globals__) and _is_known_inside(inner)


@exact(types.CodeType)
def add_code(walk: Walk, code: types.CodeType, names: dict[str, Any] | None = None) -> None:
    """Take in code, and what it reads of the globals `names`; neither where it stands nor what it is called."""
    walk.say(
        "code", code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex(),
        repr((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)),
        repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)),
    )  # fmt: skip
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            add_code(walk, constant, names)
        else:
            walk.add(constant)
    if names is None:
        return
    reads = reads_of(code)
    for name in reads.rebinds & names.keys():
        walk.changed.add((id(names), name))
    for name in reads.changes & names.keys():
        if type(names[name]) in CONTAINERS:
            walk.changed.add(id(names[name]))
    for name, *attributes in reads.globals:
        if name in names:
            _add_read(walk, names[name], attributes, (id(names), name))
        elif hasattr(builtins, name):
            walk.say("builtin", name)
            if f"builtins.{name}" in DYNAMIC:
                walk.cannot(f"code that calls {name}")
        else:
            walk.say("absent", name)
    for module in reads.imports:
        if not is_known_module(module):
            walk.cannot(f"the import of {module} inside a function")


def _add_read(walk: Walk, value: Any, attributes: Any, place: Any) -> None:
    """Take in what code reads of a value: of modules, no more than the attribute that it names.

    What the code itself changes as it runs (a memory of its own, a count) is no setting: it would make a network
    another one by each call. Then nothing is proved.
    """
    for name in attributes:
        if not isinstance(value, types.ModuleType):
            if name == attributes[-1] and name in MUTATORS.get(type(value), ()):
                walk.say("only changed")
                return
            break
        value = getattr(value, name, Absent)
    walk.read.update((place, id(value)))
    if place in walk.changed or id(value) in walk.changed:
        walk.say("changed by the code", type(value).__qualname__)
        walk.cannot(f"a {type(value).__qualname__} that the code itself changes")
        return
    walk.add(value)


@derived(types.ModuleType)
def add_module_of_code(walk: Walk, value: types.ModuleType) -> None:
    """Take in a whole module: by name, if it is known."""
    walk.say("module", value.__name__)
    if not is_known_module(value.__name__):
        walk.cannot(f"the whole of the module {value.__name__}")


@exact(types.BuiltinFunctionType, types.MethodWrapperType)
def add_builtin(walk: Walk, value: Any) -> None:
    """Take in a compiled function, with the object whose method it is."""
    owner = value.__self__
    walk.say("builtin", value.__qualname__)
    if owner is not None and not isinstance(owner, types.ModuleType):
        walk.add(owner)
        return
    home = str(getattr(value, "__module__", None) or getattr(owner, "__name__", ""))
    walk.say(home)
    if f"{home}.{value.__qualname__}" in DYNAMIC:
        walk.cannot(f"code that calls {value.__qualname__}")
    elif not is_known_module(home):
        walk.cannot(f"the compiled function {home}.{value.__qualname__}")


@exact(types.MethodType)
def add_method(walk: Walk, value: types.MethodType) -> None:
    """Take in a bound method."""
    walk.say("method")
    walk.add(value.__self__)
    walk.add(value.__func__)


@exact(*DESCRIPTORS)
def add_descriptor(walk: Walk, value: Any) -> None:
    """Take in an attribute of a compiled class, or a slot."""
    walk.say("descriptor", value.__name__)


@exact(property)
def add_property(walk: Walk, value: property) -> None:
    """Take in a property."""
    add_items(walk, (value.fget, value.fset, value.fdel))


@exact(staticmethod, classmethod)
def add_wrapped(walk: Walk, value: Any) -> None:
    """Take in a static method or a class's."""
    walk.say(type(value).__name__)
    walk.add(value.__func__)


@exact(functools.partial)
def add_partial(walk: Walk, value: functools.partial) -> None:
    """Take in a function with some of its arguments."""
    walk.say("partial")
    walk.add(value.func)
    add_items(walk, value.args)
    add_mapping(walk, dict(value.keywords))
    add_attributes(walk, value.__dict__)


@exact(type(functools.lru_cache(maxsize=1)(int)))
def add_cached(walk: Walk, value: Any) -> None:
    """Take in a function that remembers."""
    walk.say("cached")
    walk.add(value.__wrapped__)


@exact(torch._ops.OpOverload, torch._ops.OpOverloadPacket)
def add_operator(walk: Walk, value: Any) -> None:
    """Take in one of torch's operators."""
    walk.say(str(value))
    if str(value).split(".")[0] not in KNOWN_OPERATORS:
        walk.cannot(f"the operator {value}")
