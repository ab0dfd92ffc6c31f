"""From what a user writes for `cache` to a store."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from sktl.cache._base import CodeCache, checked_bound
from sktl.cache._disk import DiskCache
from sktl.cache._memory import shared_memory_cache

_opened: weakref.WeakValueDictionary[tuple[Path, int | None], DiskCache] = weakref.WeakValueDictionary()


def open_cache(cache: CodeCache | str | os.PathLike | None, *, max_bytes: int | None = None) -> CodeCache | None:
    """Return the store that `cache` stands for.

    Parameters
    ----------
    cache : None, "memory", path or CodeCache
        None is no store; "memory" the one of this process; a path a folder that several processes can share; a store is
        returned as it is.
    max_bytes : int, default=None
        The bound of the store. None leaves the default: 1 GiB in memory, none on disk. The store in memory is one for
        all of the process, so its bound is the one given last. It has no effect on a store that is given as such.

    Returns
    -------
    store : CodeCache or None

    Examples
    --------
    >>> from sktl.cache import open_cache
    >>> open_cache("memory") is open_cache("memory")
    True
    >>> open_cache(None) is None
    True
    """
    if max_bytes is not None:
        max_bytes = checked_bound(max_bytes)
    if cache is None or isinstance(cache, CodeCache):
        return cache
    if isinstance(cache, str) and cache == "memory":
        memory = shared_memory_cache()
        if max_bytes is not None:
            memory.max_bytes = max_bytes
            memory.prune(max_bytes)
        return memory
    if isinstance(cache, (str, os.PathLike)):
        fresh = DiskCache(cache, max_bytes=max_bytes)
        return _opened.setdefault((fresh.path, max_bytes), fresh)
    raise TypeError(
        f"cache must be None, 'memory', a path to a folder, or a CodeCache; got {type(cache).__name__}: {cache!r}."
    )
