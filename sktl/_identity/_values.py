"""How containers, arrays and tensors are taken in: by their content."""

from __future__ import annotations

import logging
import threading
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from sktl._forking import ForkSafeLock
from sktl._identity._walk import Walk, derived, exact


@exact(tuple)
def add_items(walk: Walk, value: Iterable) -> None:
    """Take in a sequence's items; two tuples that are equal are not told apart."""
    items = list(value)
    walk.say(type(value).__name__, str(len(items)))
    for item in items:
        walk.add(item)


@exact(list)
def add_list(walk: Walk, value: list) -> None:
    """Take in a list."""
    if not walk.is_met(value):
        add_items(walk, value)


@exact(deque)
def add_deque(walk: Walk, value: deque) -> None:
    """Take in a deque."""
    if not walk.is_met(value):
        walk.say(str(value.maxlen))
        add_items(walk, value)


@exact(set, frozenset)
def add_set(walk: Walk, value: Iterable) -> None:
    """Take in a set, whose order is chance."""
    found = [Walk().identity(item) for item in value]
    for identity in found:
        walk.cannot_either(identity)
    walk.say(type(value).__name__, *sorted(identity.digest for identity in found))


@exact(dict, OrderedDict, defaultdict, Counter, types.MappingProxyType)
def add_mapping(walk: Walk, value: Mapping) -> None:
    """Take in a mapping with its order."""
    if walk.is_met(value):
        return
    walk.say(type(value).__name__)
    add_pairs(walk, value)


def add_pairs(walk: Walk, value: Mapping) -> None:
    """Take in keys and values."""
    walk.say(str(len(value)))
    for key, item in value.items():
        walk.add(key)
        walk.add(item)
    if isinstance(value, defaultdict):
        walk.add(value.default_factory)


def add_attributes(walk: Walk, state: Mapping[str, Any]) -> None:
    """Take in attributes, whose order has no effect."""
    walk.say("attributes", str(len(state)))
    for name, value in sorted(state.items(), key=lambda item: str(item[0])):
        walk.say(str(name))
        walk.add(value)


@derived(Tensor)
def add_tensor(walk: Walk, value: Tensor) -> None:
    """Take in a tensor: type, shape, values; neither where it lies nor whether it requires a gradient."""
    if walk.is_met(value):
        return
    if type(value) not in (Tensor, nn.Parameter):
        walk.add(type(value))
    walk.say("tensor", str(value.dtype))
    try:
        walk.say(str(tuple(value.shape)))
        values = value.detach().contiguous().cpu().resolve_conj().resolve_neg()
        data = values.reshape(-1).view(torch.uint8).numpy().data
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        walk.cannot(f"a {value.layout} tensor of {value.dtype} on {value.device}")
        return
    walk.tensors[id(value)] = digest = xxhash.xxh3_128_digest(data)
    walk.say_bytes(digest)
    if value.__dict__:
        add_attributes(walk, value.__dict__)
    if value._backward_hooks:
        add_items(walk, value._backward_hooks.values())


@derived(np.ndarray)
def add_array(walk: Walk, value: np.ndarray) -> None:
    """Take in an array: type, shape, values."""
    if walk.is_met(value):
        return
    walk.say(type(value).__name__, str(value.dtype), str(value.dtype.descr), str(value.shape))
    if value.dtype.hasobject:
        add_items(walk, value.ravel().tolist())
    else:
        walk.say_bytes(np.ascontiguousarray(value).tobytes())


@derived(np.generic)
def add_scalar(walk: Walk, value: np.generic) -> None:
    """Take in a NumPy scalar."""
    walk.say("scalar", str(value.dtype), repr(value.item()))


@derived(torch.Generator)
def add_generator(walk: Walk, value: torch.Generator) -> None:
    """Take in a generator by its state."""
    walk.say("generator", str(value.device))
    if value is not torch.default_generator:  # anybody draws from that one
        walk.add(value.get_state())


@exact(weakref.ref)
def add_reference(walk: Walk, value: weakref.ref) -> None:
    """Take in what a weak reference refers to."""
    walk.say("reference")
    walk.add(value())


@derived(np.dtype, np.ufunc, PurePath, logging.Logger)
def add_text(walk: Walk, value: Any) -> None:
    """Take in what its text says in full."""
    walk.say(type(value).__name__, str(value))


@exact(type(threading.Lock()), type(threading.RLock()), ForkSafeLock)
def add_lock(walk: Walk, value: Any) -> None:
    """Take in a lock, which has no content."""
    walk.say("lock")
