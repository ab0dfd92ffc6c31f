"""Locks that a forked process does not wait for in vain."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet


class ForkSafeLock:
    """A re-entrant lock that is free in a forked child, unless the thread that forked holds it.

    The other threads do not exist in the child, so what they held there would be held for ever. Copies, pickled ones
    too, are fresh locks.

    Attributes
    ----------
    was_abandoned : bool
        Whether another thread of the parent held it when this process was forked off. What it guards may be half
        changed.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.was_abandoned = False
        _locks.add(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; return whether it was taken."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return ForkSafeLock, ()

    def _renew(self) -> None:
        if self._lock.acquire(blocking=False):  # free, or this thread's own
            self._lock.release()
        else:
            self._lock = threading.RLock()
            self.was_abandoned = True


_locks: WeakSet[ForkSafeLock] = WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
