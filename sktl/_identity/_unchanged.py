"""Whether a module is as it was: far quicker to see than to look it through once more.

All that a walk met is noted object by object: what the containers hold, what stands in the classes, the digests of the
tensors. While each is the very object that it was, and the tensors' bytes are the same, another walk would find the
same. Only modules and values of known packages can be noted; of others' code the walk reads more than objects.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from itertools import chain
from operator import attrgetter, is_, methodcaller
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from sktl._identity._known import found, is_known_class, is_known_module
from sktl._identity._walk import PLAIN

_VALUES = methodcaller("values")
_DTYPE, _SHAPE, _HOOKS = attrgetter("dtype"), attrgetter("shape"), attrgetter("_backward_hooks")


class _CannotBeNotedError(Exception):
    """A value that may change without a trace."""


class Unchanged:
    """What a module was made of.

    Parameters
    ----------
    module : Module
        It is not kept alive, but its parts are.

    Raises
    ------
    _CannotBeNotedError
        If it holds what may change without a trace; `note_of` returns None then.
    """

    def __init__(self, module: nn.Module):
        self._root = id(module)
        self._met: set[int] = set()
        self._empty: list[Any] = []  # containers that hold nothing: most do
        self._items: list[Any] = []  # lists, sets and keys that are no text
        self._mappings: list[Mapping] = []
        self._classes: dict[type, tuple] = {}
        self._typed: list[Any] = []
        self._types: list[type] = []
        self._names: list[tuple[Any, str, Any]] = []
        self._tensors: list[Tensor] = []
        self._data: list[Any] = []  # their bytes, of the same memory
        self._note_module(module)
        self._described = _described(self._tensors)
        self._digests = list(map(xxhash.xxh3_128_digest, self._data))
        self._sizes = list(map(len, self._mappings))
        self._keys = list(chain.from_iterable(self._mappings))
        self._lengths = list(map(len, self._items))
        self._held = tuple(chain.from_iterable(self._items))
        self._values = tuple(chain.from_iterable(map(_VALUES, self._mappings)))

    def holds(self, module: nn.Module) -> bool:
        """Whether the module is still made of the same."""
        return (
            id(module) == self._root
            and type(module) is self._type
            and list(map(type, self._typed)) == self._types
            and not any(self._empty)
            and list(map(len, self._mappings)) == self._sizes
            and list(chain.from_iterable(self._mappings)) == self._keys
            and list(map(len, self._items)) == self._lengths
            and all(map(is_, chain.from_iterable(self._items), self._held))
            and all(map(is_, chain.from_iterable(map(_VALUES, self._mappings)), self._values))
            and all(_holds(values, vars(cls).values()) for cls, values in self._classes.items())
            and all(found(home, name) is value for home, name, value in self._names)
            and _described(self._tensors) == self._described
            and list(map(xxhash.xxh3_128_digest, self._data)) == self._digests
        )

    def _note(self, value: Any) -> None:
        cls = type(value)
        if cls in PLAIN or id(value) in self._met:
            return
        if id(value) == self._root:  # it would be kept alive
            raise _CannotBeNotedError
        self._met.add(id(value))
        if cls in (dict, OrderedDict):
            self._note_mapping(value)
        elif cls in (list, set, deque):
            (self._items if value else self._empty).append(value)
            self._note_all(value)
        elif cls in (tuple, frozenset):
            self._note_type(value)  # its parts are the same as long as it lives
            self._note_all(value)
        elif cls in (Tensor, nn.Parameter):
            self._note_tensor(value)
        elif isinstance(value, nn.Module):
            self._note_type(value)
            self._note_module(value)
        elif isinstance(value, type):
            self._note_class(value)
        elif cls in (FunctionType, BuiltinFunctionType):
            home, name = value.__module__, value.__qualname__
            if not isinstance(home, str) or not is_known_module(home) or found(home, name) is not value:
                raise _CannotBeNotedError
            self._names.append((home, name, value))
        else:
            raise _CannotBeNotedError

    def _note_type(self, value: Any) -> None:
        self._typed.append(value)
        self._types.append(type(value))

    def _note_all(self, values: Iterable) -> None:
        for value in values:
            self._note(value)

    def _note_mapping(self, value: Mapping) -> None:
        if not value:
            self._empty.append(value)
            return
        self._mappings.append(value)
        if not all(type(key) is str for key in value):
            self._items.append(value)  # equal keys need not be the same: 1, 1.0 and True
        self._note_all(value)
        self._note_all(value.values())

    def _note_module(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise _CannotBeNotedError
        if id(module) == self._root:
            self._type = type(module)
        self._note_class(type(module))
        self._note_mapping(vars(module))

    def _note_class(self, cls: type) -> None:
        if not is_known_class(cls):
            raise _CannotBeNotedError
        if issubclass(cls, nn.Module):
            for base in cls.__mro__[:-1]:
                if not is_known_class(base):
                    raise _CannotBeNotedError
                self._classes.setdefault(base, tuple(vars(base).values()))

    def _note_tensor(self, tensor: Tensor) -> None:
        values = tensor.detach()
        is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and values.is_contiguous()
        if not is_plain or values.is_conj() or values.is_neg() or tensor.__dict__ or tensor._backward_hooks:
            raise _CannotBeNotedError
        self._tensors.append(tensor)
        self._data.append(values.reshape(-1).view(torch.uint8).numpy().data)


def note_of(module: nn.Module) -> Unchanged | None:
    """Return what the module is made of, None where it may change without a trace."""
    try:
        return Unchanged(module)
    except Exception:  # a user's objects may raise anything
        return None


def _holds(values: tuple, now: Any) -> bool:
    return len(now) == len(values) and all(map(is_, now, values))


def _described(tensors: list[Tensor]) -> tuple[list, ...]:
    """Return where tensors lie, what they are of, and what hangs on them; by maps, for this is most of the time."""
    return (
        list(map(Tensor.data_ptr, tensors)), list(map(_DTYPE, tensors)), list(map(_SHAPE, tensors)),
        list(map(Tensor.stride, tensors)), list(map(Tensor.is_neg, tensors)), list(map(bool, map(vars, tensors))),
        list(map(bool, map(_HOOKS, tensors))),
    )  # fmt: skip
