"""What is kept in memory between calls: within bounds, and given back when asked for."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[[], Any])

_emptiers: list[Callable[[], Any]] = []


class Remembered(OrderedDict[K, V]):
    """The entries that were asked for last; the one not asked for longest goes first. Its owner sees to threads.

    Parameters
    ----------
    most : int, default=256
        How many are kept.
    """

    def __init__(self, most: int = 256):
        super().__init__()
        self.most = most

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """Return the entry, made now if it is not there."""
        value = self[key] if key in self else make()
        self[key] = value
        self.move_to_end(key)
        while len(self) > self.most:
            self.popitem(last=False)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.most,)


def emptied_on_request(function: F) -> F:
    """Register a function that empties what a module keeps; `clear_memory` calls it."""
    _emptiers.append(function)
    return function


def clear_memory() -> None:
    """Give back all memory that the library keeps to save time: networks, engines and codes in this process.

    What is needed later is loaded or computed again, and gives the same results. Estimators stay as they are, with
    what they have learned. Without this call the library keeps the networks used last (about 96 MiB, and those of
    estimators that still exist) and 1 GiB of codes where ``cache="memory"`` was asked for.

    Examples
    --------
    >>> import sktl
    >>> sktl.clear_memory()
    """
    for function in _emptiers:
        function()
    gc.collect()
    trim()


def trim() -> None:
    """Have glibc hand freed memory back to the system; it keeps what lies between pieces still in use."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(ctypes.c_size_t(0))
