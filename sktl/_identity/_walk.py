"""A walk over a value and all that it refers to, which tells it from others.

Plain values, arrays and tensors count by their content; objects of known packages by their class and attributes. Code
of anybody else's counts by its bytecode, its defaults, what it closes over and every global that it reads, functions
and classes followed in turn. What none of this explains (compiled objects of unknown packages, generators, scripted
modules) is named in `Identity.unknown`: then nothing is proved, and only the object itself is known to equal itself.
What code reads from files, clocks or the network is no part of a value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER
from types import EllipsisType, GenericAlias, NotImplementedType, UnionType
from typing import Any

import torch
import xxhash
from torch import nn

PLAIN = {
    bool, int, float, complex, str, bytes, type(None), EllipsisType, NotImplementedType, range, torch.dtype,
    torch.device, torch.Size, torch.layout, torch.memory_format, UnionType, GenericAlias,
}  # fmt: skip
MOST = 300_000  # values looked at; a network has some thousands
ENVIRONMENT = ".".join([MAGIC_NUMBER.hex(), *map(str, sys.version_info[:2]), torch.__version__])
EXACT: dict[type, Callable[[Walk, Any], None]] = {}  # how values of just that type are taken in
DERIVED: dict[type, Callable[[Walk, Any], None]] = {}  # and of that type or one derived from it


@dataclass(frozen=True)
class Identity:
    """What a value is.

    Attributes
    ----------
    digest : str
        Hexadecimal; equal for equal values, in another process too while `ENVIRONMENT` (the versions of the bytecode
        and of torch's attributes) is the same.
    unknown : tuple of str
        What could not be made out; empty where the digest is a proof.
    """

    digest: str
    unknown: tuple[str, ...]


def identify(value: Any) -> Identity:
    """Return the identity of any value; of a module, whether it is in training mode does not count."""
    return Walk().identity(value)


class Walk:
    """One walk.

    Attributes
    ----------
    tensors : dict of int to bytes
        The digests of the tensors that were met, by `id`.
    """

    def __init__(self) -> None:
        self.tensors: dict[int, bytes] = {}
        self.modes_do_not_count: set[int] = set()  # ids of modules that are switched as a whole
        self.searched: set[type] = set()  # known classes that were searched for others' methods
        self.changed: set[Any] = set()  # places and ids of what the code that was met changes
        self.read: set[Any] = set()  # and of what it reads
        self.layouts: dict[type, Any] = {}  # what objects of classes are made of
        self._digest = xxhash.xxh3_128()
        self._handlers: dict[type, Callable[[Walk, Any], None]] = {}
        self._is_second = False
        self._words: list[str] = []
        self._unknown: dict[str, None] = {}
        self._met: dict[int, int] = {}
        self._held: list[Any] = []  # ids are given again once an object is gone
        self._n = 0

    def identity(self, value: Any) -> Identity:
        """Return what `value` is."""
        if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
            self.modes_do_not_count = {id(part) for part in value.modules()}
        try:
            self.add(value)
        except Exception as error:  # how far the walk came is chance; a user's objects may raise anything
            self._words = [type(value).__qualname__]
            self._digest = xxhash.xxh3_128()
            is_too_much = isinstance(error, (RecursionError, TooMuchError))
            self.cannot("more than can be looked through" if is_too_much else f"what raises {type(error).__name__}")
        if self.changed & self.read and not self._is_second:  # some may have been read before it was known to change
            second = Walk()
            second.changed, second._is_second = self.changed, True
            found = second.identity(value)
            self.tensors = second.tensors
            return found
        self._take_words_in()
        return Identity(self._digest.hexdigest(), tuple(self._unknown))

    def add(self, value: Any) -> None:
        """Take a value in."""
        cls = type(value)
        if cls in PLAIN:
            self.say(cls.__name__, repr(value))
            return
        self._n += 1
        if self._n > MOST:
            raise TooMuchError
        handler = EXACT.get(cls) or self._handlers.get(cls)
        if handler is None:
            handler = next(DERIVED[base] for base in cls.__mro__ if base in DERIVED)  # object's at the end
            self._handlers[cls] = handler
        handler(self, value)

    def say(self, *words: str) -> None:
        """Take in words, each with its length, so that no two lists of words are one text."""
        self._words += [f"{len(word)}:{word}" for word in words]

    def say_bytes(self, data: Any) -> None:
        """Take in bytes."""
        self._take_words_in()
        self._digest.update(data)

    def _take_words_in(self) -> None:
        self._digest.update("".join(self._words).encode("utf-8", "surrogatepass"))
        self._words.clear()

    def cannot(self, what: str) -> None:
        """Note that something could not be made out."""
        self._unknown[what] = None

    def cannot_either(self, other: Identity) -> None:
        """Note what another walk could not make out."""
        self._unknown.update(dict.fromkeys(other.unknown))

    def is_met(self, value: Any) -> bool:
        """Whether the value was taken in before; then say which one it was: a shared part is not two equal ones."""
        number = self._met.setdefault(id(value), len(self._held))
        if number < len(self._held):
            self.say("again", str(number))
            return True
        self._held.append(value)
        return False


class TooMuchError(Exception):
    """More values than a network or a function should refer to."""


def exact(*types: type) -> Callable:
    """Register how values of just these types are taken in."""
    return lambda handler: _registered(EXACT, types, handler)


def derived(*types: type) -> Callable:
    """Register how values of these types, and of types derived from them, are taken in."""
    return lambda handler: _registered(DERIVED, types, handler)


def _registered(table: dict[type, Any], types: Iterable[type], handler: Any) -> Any:
    table.update(dict.fromkeys(types, handler))
    return handler
