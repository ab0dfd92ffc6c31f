"""Who owns a claim, and whether that process still lives.

An owner holds a lock on a file of its own. The operating system ends the lock with the process, whatever ends the
process, so a lock that can be had belongs to a dead owner.
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_ID = re.compile(rb"[0-9a-f]{32}")  # what uuid4 makes: no other file is touched
_active: dict[bytes, int] = {}  # the thread of each owner in this process


class Owner:
    """The right to claim keys, for the time of one call."""

    def __init__(self, folder: Path):
        self.id = uuid.uuid4().hex.encode()
        self._pid = os.getpid()
        self._path = _lock_file(folder, self.id)
        self._lock: FileLock | None = None

    def acquire(self) -> bool:
        """Take the lock; False if this file system has no locks that work."""
        if self._path.parent.is_symlink():
            return False
        lock = FileLock(self._path, timeout=0, thread_local=False)
        try:
            self._path.parent.mkdir(exist_ok=True)
            lock.acquire()
        except (OSError, Timeout, NotImplementedError):
            return False
        self._lock = lock
        _active[self.id] = threading.get_ident()
        return True

    def release(self) -> None:
        """End the lock and remove its file."""
        if self._lock is None or self._pid != os.getpid():  # a forked child inherits the object, not the right
            return
        _active.pop(self.id, None)
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._lock.release(force=True)
        self._lock = None


def blocks(folder: Path, owner_id: bytes) -> bool:
    """Return whether a claim of this owner is to be waited for: it lives, and is not this very thread."""
    if owner_id in _active:
        return _active[owner_id] != threading.get_ident()
    if not _ID.fullmatch(owner_id):  # not written by an owner, and it could name a file anywhere
        return False
    return not _bury(_lock_file(folder, owner_id))


def bury_the_dead(folder: Path) -> None:
    """Remove the files that owners who were killed have left."""
    with suppress(OSError):
        for path in folder.glob("*.lock"):
            name = os.fsencode(path.stem)
            if _ID.fullmatch(name) and name not in _active:
                _bury(path)


def _bury(path: Path) -> bool:
    if path.parent.is_symlink() or path.is_symlink() or not path.is_file():  # no link is followed, nor removed
        return True
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError):  # locks do not work here: nobody can be waited for
        return True
    with suppress(OSError):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        lock.release(force=True)
    return True


def _lock_file(folder: Path, owner_id: bytes) -> Path:
    return folder / f"{owner_id.decode('ascii')}.lock"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_active.clear)
