"""How classes, their objects and modules are taken in."""

from __future__ import annotations

import contextlib
import copyreg
import enum
import random
import types
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import _WrappedHook
from torch.utils.hooks import RemovableHandle

from sktl._identity._code import add_function
from sktl._identity._known import found, is_known_by_name, is_known_class, is_known_home, is_made_by_known
from sktl._identity._values import add_attributes, add_items, add_pairs, add_set
from sktl._identity._walk import Walk, derived

WITHOUT_EFFECT = {  # of a class's attributes, on what its objects do
    "__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate__", "__annotate_func__",
    "__annotations_cache__", "__abstractmethods__", "_abc_impl", "__firstlineno__", "__static_attributes__",
    "__match_args__", "__slotnames__", "__orig_bases__", "__parameters__", "__dataclass_fields__",
    "__dataclass_params__", "__qualname__", "__classcell__", "__type_params__",
}  # fmt: skip
OF_HOOKS = ("hooks_with_kwargs", "hooks_always_called")
GLOBAL_GENERATORS = (random._inst, np.random.mtrand._rand)  # type: ignore[attr-defined]
# Containers and plain values, whose content is no hidden state.
TRANSPARENT = {object, dict, OrderedDict, defaultdict, list, tuple, set, frozenset, str, int, float, complex, bytes}


@derived(type)
def add_class(walk: Walk, cls: type) -> None:
    """Take in a class: a known one by name, another with all that stands in it."""
    if is_known_class(cls):
        walk.say("class", cls.__module__, cls.__qualname__)
        if issubclass(cls, nn.Module):
            _add_patches(walk, cls)
        return
    if walk.is_met(cls):
        return
    walk.say("class", cls.__qualname__)
    # Classes of functions, scripts and notebooks need not be found by name: their code is taken in all the same.
    is_free = "<locals>" in cls.__qualname__ or cls.__module__ == "__main__" or is_made_by_known(cls)
    if not is_free and found(cls.__module__, cls.__qualname__) is not cls:
        walk.cannot(f"the class {cls.__qualname__}, which is not found in {cls.__module__}")
    for base in cls.__mro__[:-1]:
        if is_known_class(base):
            add_class(walk, base)
            continue
        walk.say("base", base.__qualname__)
        for name, value in sorted(vars(base).items()):
            if name not in WITHOUT_EFFECT:
                walk.say(name)
                walk.add(value)
    if not is_known_class(type(cls)):
        add_class(walk, type(cls))


def _add_patches(walk: Walk, cls: type) -> None:
    """Take in methods that somebody has put in place of a known class's own."""
    for base in cls.__mro__[:-1]:
        if base in walk.searched:
            continue
        walk.searched.add(base)
        for name, value in sorted(vars(base).items()):
            if isinstance(value, types.FunctionType) and value.__module__ != base.__module__:
                names = value.__globals__
                if not is_known_home(names.get("__name__"), names):
                    walk.say("patched", base.__qualname__, name)
                    add_function(walk, value)


@derived(torch.jit.ScriptModule, torch.jit.ScriptFunction, torch.fx.Graph, torch.fx.Node, types.FrameType)
def add_opaque(walk: Walk, value: Any) -> None:
    """Take in compiled code, which is known by its object only."""
    walk.say("opaque", type(value).__qualname__)
    walk.cannot(f"a {type(value).__qualname__}")


@derived(enum.Enum)
def add_member(walk: Walk, value: enum.Enum) -> None:
    """Take in a member of an enumeration."""
    walk.add(type(value))
    walk.say(repr(value.name))


@derived(object)
def add_object(walk: Walk, value: Any) -> None:
    """Take in an object: its class, content, slots and attributes."""
    if walk.is_met(value):
        return
    cls = type(value)
    if is_known_by_name(value):
        walk.say("named", value.__module__, value.__qualname__)
        return
    walk.say("object")
    walk.add(cls)
    _add_content(walk, value)
    if cls not in walk.layouts:
        walk.layouts[cls] = (_has_hidden_state(cls), _slots(cls))
    is_hidden, slots = walk.layouts[cls]
    if any(value is generator for generator in GLOBAL_GENERATORS):
        walk.say("global generator")  # anybody draws from it: its state is no part of what draws too
        return
    if is_hidden:
        _add_reduced(walk, value)
        return
    for name, member in slots:
        walk.say(name)
        try:
            walk.add(member.__get__(value))
        except AttributeError:
            walk.say("absent")
    state = getattr(value, "__dict__", None)
    if isinstance(value, nn.Module):
        _add_module(walk, value)
    elif isinstance(state, Mapping):
        add_attributes(walk, state)


def _add_content(walk: Walk, value: Any) -> None:
    if isinstance(value, dict):
        add_pairs(walk, value)
    elif isinstance(value, (list, tuple)):
        add_items(walk, list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value))
    elif isinstance(value, (set, frozenset)):
        add_set(walk, value)
    for plain in (int, float, complex, str, bytes):
        if isinstance(value, plain):
            walk.say(plain.__repr__(value))  # type: ignore[arg-type]


def _add_reduced(walk: Walk, value: Any) -> None:
    """Take in what a known package's compiled object puts in its pickle."""
    cls, parts = type(value), None
    if is_known_class(cls):
        with contextlib.suppress(Exception):  # objects refuse by errors of all types
            registered = copyreg.dispatch_table.get(cls)
            parts = value.__reduce_ex__(4) if registered is None else registered(value)
    if parts is None:
        walk.cannot(f"a {cls.__module__}.{cls.__qualname__}, which is compiled")
    elif isinstance(parts, str):
        walk.say(parts)
    else:  # a function, its arguments, a state, and iterators over items
        add_items(walk, [part if part is None or i < 3 else list(part) for i, part in enumerate(parts)])


def _has_hidden_state(cls: type) -> bool:
    """Whether objects of a class hold memory that is neither attributes, slots nor a plain value's content."""
    for base in cls.__mro__:
        content = max(part.__basicsize__ for part in base.__mro__ if part in TRANSPARENT)
        pointers = bool(base.__dictoffset__) + bool(base.__weakrefoffset__) + len(_slots(base))  # type: ignore[attr-defined]
        if base.__basicsize__ > content + 8 * pointers:
            return True
    return False


def _slots(cls: type) -> list[tuple[str, types.MemberDescriptorType]]:
    members = [pair for base in cls.__mro__ for pair in sorted(vars(base).items())]
    return [(name, member) for name, member in members if isinstance(member, types.MemberDescriptorType)]


def _add_module(walk: Walk, module: nn.Module) -> None:
    for name, value in sorted(vars(module).items()):
        if name == "training" and id(module) in walk.modes_do_not_count:
            continue
        if name.endswith(OF_HOOKS):
            continue
        walk.say(name)
        if name.endswith("hooks") and isinstance(value, dict):
            flags = [vars(module).get(f"{name}{ending}", {}) for ending in ("_with_kwargs", "_always_called")]
            add_hooks(walk, value, *flags)
        else:
            walk.add(value)


def add_hooks(walk: Walk, hooks: Mapping, *flags: Mapping) -> None:
    """Take in hooks by their order: their numbers count all hooks that this process has ever made."""
    for number, hook in hooks.items():
        walk.say("hook", *[str(number in flag) for flag in flags])
        walk.add(hook)


@derived(_WrappedHook)
def add_wrapped_hook(walk: Walk, value: Any) -> None:
    """Take in torch's wrapper of a hook."""
    add_items(walk, (value.hook, value.with_module))


@derived(torch.autocast)
def add_autocast(walk: Walk, value: torch.autocast) -> None:
    """Take in a setting of autocast, by which functions are decorated: what it notes of a call does not count."""
    walk.add(type(value))
    add_attributes(walk, {name: held for name, held in vars(value).items() if not name.startswith("prev")})


@derived(RemovableHandle)
def add_handle(walk: Walk, value: Any) -> None:
    """Take in nothing: a handle serves to take a hook away."""
    walk.say("handle")
