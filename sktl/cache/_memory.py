"""Codes kept in this process."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from sktl._memory import emptied_on_request
from sktl.cache._base import CodeCache, checked_bound, human_size
from sktl.cache._claims import WAIT, Claim, ClaimSession
from sktl.cache._records import checked_keys, checked_pairs

DEFAULT_BOUND = 2**30


class MemoryCache(CodeCache):
    """A bounded store in this process's memory; the least recently used values go first.

    It can be used from several threads. Pickling the process-wide one (``open_cache("memory")``) gives the process-wide
    one of the process that unpickles it; pickling any other gives an empty one with the same bound.

    Parameters
    ----------
    max_bytes : int, default=1 GiB
        How many bytes are kept. A value larger than that is not kept at all.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.cache import MemoryCache
    >>> cache = MemoryCache()
    >>> cache.put_many([b"a", b"b"], np.eye(2, dtype=np.float32))
    >>> cache.get_many([b"b", b"c"])
    [array([0., 1.], dtype=float32), None]
    >>> cache
    MemoryCache(2 entries, 18 B of 1.0 GiB)
    """

    def __init__(self, max_bytes: int = DEFAULT_BOUND):
        self.max_bytes = checked_bound(max_bytes)
        self._values: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._n_bytes = 0
        self._pending: dict[bytes, _Pending] = {}
        self._changed = threading.Condition(threading.RLock())
        with _registry_lock:
            _all.add(self)

    def get_many(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        keys = checked_keys(keys)
        with self._changed:
            return [self._look_up(key) for key in keys]

    def put_many(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        self._keep(checked_pairs(keys, values))

    @property
    def n_entries(self) -> int:
        return len(self._values)

    @property
    def n_bytes(self) -> int:
        return self._n_bytes

    def prune(self, max_bytes: int) -> int:
        """Forget the least recently used values until at most `max_bytes` are taken; return how many that freed."""
        bound = checked_bound(max_bytes)
        with self._changed:
            before = self._n_bytes
            while self._n_bytes > bound:
                key, value = self._values.popitem(last=False)
                self._n_bytes -= _size(key, value)
            return before - self._n_bytes

    def clear(self) -> None:
        self.prune(0)

    def _look_up(self, key: bytes) -> np.ndarray | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def _keep(self, values: Mapping[bytes, np.ndarray]) -> None:
        with self._changed:
            for key, value in values.items():
                if key in self._values:
                    self._n_bytes -= _size(key, self._values.pop(key))
                if _size(key, value) <= self.max_bytes:
                    self._values[key] = value
                    self._n_bytes += _size(key, value)
                    self.prune(self.max_bytes)

    def _claims(self) -> ClaimSession:
        return _MemoryClaims(self)

    def __reduce__(self):
        if self is _shared:
            return shared_memory_cache, ()
        return type(self), (self.max_bytes,)

    def __repr__(self) -> str:
        size, bound = human_size(self.n_bytes), human_size(self.max_bytes)
        return f"{type(self).__name__}({self.n_entries:,} entries, {size} of {bound})"


class _Pending:
    """A value that a session is about to compute; it hands the value to those who wait even if it is not kept."""

    def __init__(self, session: _MemoryClaims):
        self.session = session
        self.value: np.ndarray | None = None


class _MemoryClaims(ClaimSession):
    def __init__(self, cache: MemoryCache):
        self._cache = cache
        self._thread = threading.get_ident()
        self._mine: dict[bytes, _Pending] = {}
        self._awaited: dict[bytes, _Pending] = {}
        self._distrusted: set[_MemoryClaims] = set()  # sessions that bring no news

    def claim(self, keys: Sequence[bytes], limit: int, *, impatient: bool) -> Claim:
        claim = Claim()
        with self._cache._changed:
            for index, key in enumerate(keys):
                if len(claim.mine) == limit:
                    claim.unseen = list(keys[index:])
                    break
                value = self._cache._look_up(key)
                if value is None and key in self._awaited:
                    value = self._awaited[key].value
                pending = self._cache._pending.get(key)
                if value is not None:
                    claim.ready[key] = value
                elif pending is None or not self._is_busy(pending, impatient):
                    claim.mine.append(key)
                    self._cache._pending[key] = self._mine[key] = _Pending(self)
                else:
                    claim.busy.append(key)
                    self._awaited[key] = pending
        return claim

    def _is_busy(self, pending: _Pending, impatient: bool) -> bool:
        if pending.session._thread == self._thread:
            return False
        if impatient:
            self._distrusted.add(pending.session)
        return pending.session not in self._distrusted

    def store(self, values: Mapping[bytes, np.ndarray]) -> None:
        with self._cache._changed:
            self._cache._keep(values)
            for key, value in values.items():
                self._mine[key].value = value
                self._end(key)
            self._cache._changed.notify_all()

    def release(self) -> None:
        with self._cache._changed:
            for key in list(self._mine):
                self._end(key)
            self._cache._changed.notify_all()

    def wait(self) -> None:
        with self._cache._changed:
            self._cache._changed.wait(WAIT)

    def _end(self, key: bytes) -> None:
        pending = self._mine.pop(key)
        if self._cache._pending.get(key) is pending:
            del self._cache._pending[key]


_all: weakref.WeakSet[MemoryCache] = weakref.WeakSet()
_shared: MemoryCache | None = None
_registry_lock = threading.RLock()


def shared_memory_cache() -> MemoryCache:
    """Return the process-wide store."""
    global _shared
    with _registry_lock:
        if _shared is None:
            _shared = MemoryCache()
        return _shared


@emptied_on_request
def _clear_shared() -> None:
    if _shared is not None:
        _shared.clear()


def _size(key: bytes, value: np.ndarray) -> int:
    return len(key) + value.nbytes


# A fork must not catch another thread in mid-change, and the child has none of the threads that hold claims.
_held: list[MemoryCache] = []


def _before_fork() -> None:
    _registry_lock.acquire()
    _held.extend(_all)
    for cache in _held:
        cache._changed.acquire()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._changed.release()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    while _held:
        cache = _held.pop()
        cache._changed = threading.Condition(threading.RLock())
        cache._pending = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
