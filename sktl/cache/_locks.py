"""Locks between processes that share a store: waited for a while only, since a process that is stopped keeps its own.

LMDB's own locks know no such patience. So nothing that waits for one of them is done without one of these, whose holder
alone can hold LMDB's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 10.0  # seconds
IMPATIENCE = 0.2  # once it was in vain, until the lock was had again
POLL = 0.002


class BlockedError(OSError):
    """Another process does not let go of a lock."""


class SharedLock:
    """A lock on a file; where the file system has no locks, it is none.

    Parameters
    ----------
    path : Path
        The file, in a folder that is there.
    """

    def __init__(self, path: Path):
        self._path = path
        self._has_failed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        BlockedError
            If another process keeps it for longer than the patience.
        """
        lock = FileLock(self._path, thread_local=False)
        try:
            lock.acquire(timeout=IMPATIENCE if self._has_failed else PATIENCE, poll_interval=POLL)
        except Timeout:
            self._has_failed = True
            raise BlockedError(
                f"another process has kept {self._path.name} for {PATIENCE:g} seconds: it may be stopped, or slow"
            ) from None
        except (OSError, NotImplementedError):  # no locks here, or no room for a file
            pass
        else:
            self._has_failed = False
        try:
            yield
        finally:
            with suppress(OSError):
                lock.release(force=True)
