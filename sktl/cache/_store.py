"""The LMDB environment of one folder: opened when needed, grown when full, replaced when damaged.

Durability: every transaction is flushed to disk before it counts (``metasync=False`` saves the second flush). A process
may die at any moment and nothing that was written is lost; a machine may, and at most the last transaction is.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from sktl._warn_once import warn_user
from sktl.cache._file_system import network_file_system
from sktl.cache._folder import check_folder, data_folder, foreign_version, mark_folder, reason_of
from sktl.cache._integrity import inspect
from sktl.cache._locks import BlockedError, SharedLock
from sktl.cache._owners import bury_the_dead
from sktl.exceptions import CacheWarning

T = TypeVar("T")
Action = Callable[[Any, dict[str, Any]], T]  # takes a transaction and the tables; may be run again from the start

TABLES = ("codes", "order", "claims")
READERS = 1024
LOCK_BYTES = READERS * 64 + 4096  # LMDB: one cache line a reader, and a head
FIRST_MAP = 64 * 2**20
LARGEST_STEP = 2**30
REST = 60.0  # seconds for which a store that failed is left alone
_ATTEMPTS = 100

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.CursorFullError,
    lmdb.PageFullError,
    lmdb.BadValsizeError,
)


class Store:
    """One per folder and process; use `store_at` to get it."""

    def __init__(self, root: Path):
        self.root = root
        self.owners = root / "owners"
        self._folder = data_folder(root)
        self._data = self._folder / "data.mdb"
        self._set_up_lock, self._write_lock = SharedLock(root / "setup.lock"), SharedLock(root / "write.lock")
        self._lock = threading.RLock()  # one transaction at a time: an environment may not be closed or grown under one
        self._env: Any = None
        self._tables: dict[str, Any] = {}
        self._inode: tuple[int, int] | None = None
        self._found_sound: tuple[int, int] | None = None  # the file that was looked through, so that it is done once
        self._pid = os.getpid()
        self._readonly = False
        self._resting_until = {"reading": 0.0, "writing": 0.0}
        self._warned: set[str] = set()

    def read(self, action: Action[T], default: T) -> T:
        """Return what the action returns, or the default if nothing can be read."""
        return self._attempt(action, default, "reading")

    def write(self, action: Action[T], default: T) -> T:
        """Return what the action returns, once that is on disk, or the default if nothing can be written."""
        return self._attempt(action, default, "writing")

    def wake(self) -> None:
        """Try again at once after a failure."""
        self._resting_until = dict.fromkeys(self._resting_until, 0.0)

    # What can go wrong, and what follows from it.

    def _attempt(self, action: Action[T], default: T, purpose: str) -> T:
        with self._lock:
            panicked = False
            for _ in range(_ATTEMPTS):
                if time.monotonic() < self._resting_until[purpose]:
                    return default
                try:
                    env = self._ready(purpose)
                    if env is None:
                        return default
                    if purpose == "reading":
                        with env.begin() as transaction:
                            return action(transaction, self._tables)
                    with self._write_lock.held(), env.begin(write=True) as transaction:
                        self._reserve_file()
                        return action(transaction, self._tables)
                except BlockedError as error:  # what is open can be read all the same
                    self._pause(("writing",) if self._env is not None else ("reading", "writing"), str(error))
                except lmdb.MapFullError:
                    self._remedy(purpose, self._grow)
                except lmdb.MapResizedError:  # another process has grown it
                    self._remedy(purpose, self._follow_growth)
                except lmdb.ReadersFullError:
                    self._remedy(purpose, self._forget_dead_readers)
                except _DAMAGE as error:
                    self._remedy(purpose, self._set_aside, str(error))
                except lmdb.PanicError as error:  # a write failed half-way; what was committed before it is whole
                    if panicked:
                        self._remedy(purpose, self._set_aside, str(error))
                    panicked, self._found_sound = True, None
                    self._close()
                except (lmdb.Error, OSError, MemoryError) as error:
                    self._rest(purpose, reason_of(error, self.root))
            return default

    def _remedy(self, purpose: str, remedy: Callable, *arguments) -> None:
        try:
            remedy(*arguments)
        except (lmdb.Error, OSError, MemoryError) as error:
            self._rest(purpose, reason_of(error, self.root))

    def _rest(self, purpose: str, why: str) -> None:
        self._close()
        self._pause((purpose,), why)

    def _pause(self, purposes: tuple[str, ...], why: str) -> None:
        self._resting_until |= dict.fromkeys(purposes, time.monotonic() + REST)
        action = " or ".join({"writing": "stored", "reading": "read"}[purpose] for purpose in purposes)
        self._warn(action, f"codes cannot be {action} in {str(self.root)!r} ({why}); they are computed without it.")

    def _warn(self, reason: str, message: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            warn_user(message[0].upper() + message[1:], CacheWarning)

    # Opening and closing.

    def _ready(self, purpose: str) -> Any:
        if self._pid != os.getpid():  # forked in a way that ran no hooks: the environment is another process's
            raise OSError(errno.ENOTSUP, "this process was forked without Python's knowledge")
        if self._env is not None and not self._is_whole():
            self._close()
        if self._env is None:
            check_folder(self.root)
            if purpose == "reading" and not self._data.exists():
                return None
            self._open()
        if purpose == "writing" and self._readonly:
            self._rest(purpose, "the folder is read-only")
            return None
        return self._env

    def _open(self) -> None:
        if (kind := network_file_system(self.root)) is not None:
            raise OSError(
                errno.ENOTSUP,
                f"it lies on a network file system, {kind}, on which LMDB is not safe: give each machine a folder on a "
                "disk of its own, or write the codes once, by sktl.features.codes_to_zarr",
            )
        self._readonly = not self._is_writable()
        if not self._readonly:
            mark_folder(self.root)
            self._folder.mkdir(exist_ok=True)
        if (version := foreign_version(self.root)) is not None:
            self._warn("version", f"{str(self.root)!r} has codes of another format ({version}); they are not used.")
        if self._readonly and not self._data.exists():
            raise OSError(errno.EROFS, "the folder is read-only")
        with self._set_up(), self._writing():
            self._inode = _inode(self._data)
            state = inspect(self._data, thoroughly=self._inode != self._found_sound)
            if state.fault:
                self._move_aside(state.fault)
            try:
                self._open_environment(max(state.map_size, FIRST_MAP))
            except lmdb.ReadonlyError:
                self._readonly = True
                self._open_environment(state.map_size)
        self._inode = self._found_sound = _inode(self._data)
        if not self._readonly:
            bury_the_dead(self.owners)

    def _open_environment(self, map_size: int) -> None:
        options: dict[str, Any] = dict(max_dbs=len(TABLES), map_size=map_size, metasync=False, max_readers=READERS)
        if self._readonly:
            options.update(readonly=True, create=False)
            try:
                self._env = lmdb.open(str(self._folder), **options)
            except (lmdb.ReadonlyError, lmdb.LockError):
                self._env = lmdb.open(str(self._folder), lock=False, **options)
        else:
            self._allocate_locks()
            self._env = lmdb.open(str(self._folder), **options)
        try:
            if not self._readonly:
                self._env.reader_check()
            self._tables = {name: self._env.open_db(name.encode(), create=not self._readonly) for name in TABLES}
            with self._env.begin():  # takes this process's place among the readers, which it keeps
                pass
        except BaseException:
            self._close()
            raise

    def _allocate_locks(self) -> None:
        """Take disk space for LMDB's lock file, which it maps: a sparse one on a full disk is a SIGBUS."""
        if not hasattr(os, "posix_fallocate"):
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        place = os.open(self._folder / "lock.mdb", flags, 0o666)
        try:
            os.posix_fallocate(place, 0, LOCK_BYTES)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # which some file systems say
                raise
        finally:
            os.close(place)

    def _is_writable(self) -> bool:
        existing = self.root
        while not existing.exists():
            existing = existing.parent
        places = [existing, self._folder, self._data, self._folder / "lock.mdb"]
        return all(os.access(place, os.W_OK) for place in places if place.exists())

    def _set_up(self) -> Any:  # keeps other processes from opening or replacing the data at the same time
        return nullcontext() if self._readonly else self._set_up_lock.held()

    def _writing(self) -> Any:  # keeps them from writing, and from all else that takes a lock of LMDB's
        return nullcontext() if self._readonly else self._write_lock.held()

    def _is_whole(self) -> bool:
        """Return whether the file is still the one that was opened, and no shorter than what may be looked at."""
        needed = self._env.stat()["psize"] * (self._env.info()["last_pgno"] + 1)  # first: others make the file longer
        try:
            status = self._data.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode and status.st_size >= needed

    def _close(self) -> None:
        if self._env is not None and self._pid == os.getpid():
            env, self._env, self._tables = self._env, None, {}
            env.close()

    # Size and damage.

    def _reserve_file(self) -> None:
        """Make the file as long as the map, without taking disk space.

        A file shorter than its last page is then surely a damaged one. Done under the writers' lock of LMDB.
        """
        map_size = self._env.info()["map_size"]
        if self._data.stat().st_size < map_size:
            os.truncate(self._data, map_size)

    def _follow_growth(self) -> None:
        if self._env is not None:  # else it is opened anew, with the size that the file states by then
            self._env.set_mapsize(0)

    def _grow(self) -> None:
        if self._env is None:
            raise OSError(errno.ENOSPC, "the file has no room for its tables")
        with self._writing():
            self._env.reader_check()  # readers that were killed keep pages from being used again
        map_size = self._env.info()["map_size"]
        self._env.set_mapsize(map_size + min(map_size, LARGEST_STEP))

    def _forget_dead_readers(self) -> None:
        with self._writing():
            if self._env is None or not self._env.reader_check():
                raise OSError("too many processes read it at once")

    def _set_aside(self, fault: str) -> None:
        self._close()
        with self._set_up():
            self._move_aside(fault)

    def _move_aside(self, fault: str) -> None:
        """Move the damaged data away, unless another process has done so already."""
        if self._readonly:
            raise OSError(errno.EROFS, f"it is damaged: {fault}")
        if _inode(self._data) != self._inode:
            return
        aside = self._folder.with_name(self._folder.name + "-damaged")
        shutil.rmtree(aside, ignore_errors=True)
        self._folder.rename(aside)
        self._folder.mkdir()
        message = f"The codes in {str(self.root)!r} are damaged ({fault}); they are put aside in {aside.name!r}."
        warn_user(message, CacheWarning)


def store_at(root: Path) -> Store:
    """Return this process's store in a folder."""
    with _stores_lock:
        store = _stores.get(root)
        if store is None:
            store = _stores[root] = Store(root)
        return store


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


_stores: weakref.WeakValueDictionary[Path, Store] = weakref.WeakValueDictionary()
_stores_lock = threading.Lock()

# A forked child can neither use an environment, nor close it without harm to the parent: so it is closed before the
# fork, and either side opens its own when it next needs one.
_held: list[Store] = []


def _before_fork() -> None:
    _stores_lock.acquire()
    _held.extend(_stores.values())
    for store in _held:
        store._lock.acquire()
        store._close()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._lock.release()
    _stores_lock.release()


def _after_fork_in_child() -> None:
    global _stores_lock
    _stores_lock = threading.Lock()
    while _held:
        store = _held.pop()
        store._lock = threading.RLock()
        store._pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
