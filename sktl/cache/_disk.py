"""Codes kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from sktl.cache._base import CodeCache, checked_bound, human_size
from sktl.cache._claims import Claim, ClaimSession
from sktl.cache._owners import Owner, blocks
from sktl.cache._records import checked_keys, checked_pairs, decode, encode, order_of
from sktl.cache._store import store_at


class DiskCache(CodeCache):
    """A store in a folder, for any number of processes and threads at once.

    Whatever was written stays, even if the process is killed while it writes. Every entry carries a checksum: a
    damaged one counts as missing. Where the folder cannot be written to, or the disk is full, codes are computed
    without being stored, and one `CacheWarning` says so. The folder must be new, empty, or a store already; it is
    first touched when a value is asked for or put.

    Parameters
    ----------
    path : str or path-like
        The folder, on a local disk: what LMDB needs of a file system, those of a network do not have. On one of these
        codes are computed without being stored, and the warning says so.
    max_bytes : int, default=None
        If given, the entries written first are forgotten when all of them take more than that. The file does not shrink
        then; its free pages are used again.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sktl.cache import DiskCache
    >>> cache = DiskCache(tempfile.mkdtemp())
    >>> cache.put_many([b"a", b"b"], np.eye(2, dtype=np.float32))
    >>> cache.get_many([b"b", b"c"])
    [array([0., 1.], dtype=float32), None]
    >>> cache.n_entries
    2
    """

    def __init__(self, path: str | os.PathLike, max_bytes: int | None = None):
        if isinstance(path, str) and not path.strip():
            raise ValueError(f"cache={path!r} names no folder; give the path of one, such as './codes', or None.")
        self.path = Path(path).expanduser().resolve()
        self.max_bytes = None if max_bytes is None else checked_bound(max_bytes)
        self._store = store_at(self.path)

    def get_many(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        keys = checked_keys(keys)
        nothing: list[bytes | None] = [None] * len(keys)
        records = self._store.read(lambda txn, tables: [txn.get(key, db=tables["codes"]) for key in keys], nothing)
        return [decode(key, record) for key, record in zip(keys, records)]

    def put_many(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        pairs = checked_pairs(keys, values)
        if pairs:
            self._store.write(lambda txn, tables: _put(txn, tables, pairs, self.max_bytes), None)

    @property
    def n_entries(self) -> int:
        return self._store.read(lambda txn, tables: txn.stat(tables["codes"])["entries"], 0)

    @property
    def n_bytes(self) -> int:
        """How many bytes of the file the entries take, in whole pages."""
        return self._store.read(_taken, 0)

    def prune(self, max_bytes: int) -> int:
        """Forget the entries written first until at most `max_bytes` are taken; return how many bytes that freed."""
        bound = checked_bound(max_bytes)
        self._store.wake()
        return self._store.write(lambda txn, tables: _prune(txn, tables, bound), 0) if self.n_entries else 0

    def clear(self) -> None:
        """Forget all entries. The file keeps its size, and uses it again; remove the folder to have the space back."""
        self._store.wake()
        if self.n_entries:
            self._store.write(_clear, None)

    def _claims(self) -> ClaimSession:
        return _DiskClaims(self)

    def __reduce__(self):
        return type(self), (str(self.path), self.max_bytes)

    def __repr__(self) -> str:
        try:
            content = f"{self.n_entries:,} entries, {human_size(self.n_bytes)}"
        except ValueError:  # not a folder of ours
            content = "cannot be opened"
        bound = "" if self.max_bytes is None else f" of {human_size(self.max_bytes)}"
        return f"{type(self).__name__}({str(self.path)!r}: {content}{bound})"


class _DiskClaims(ClaimSession):
    """Claims as a table of key -> owner, which all processes see."""

    def __init__(self, cache: DiskCache):
        self._store = cache._store
        self._max_bytes = cache.max_bytes
        self._owner = Owner(cache._store.owners)
        self._mine: set[bytes] = set()
        self._distrusted: set[bytes] = set()  # owners that live but bring no news
        self._can_claim: bool | None = None

    def claim(self, keys: Sequence[bytes], limit: int, *, impatient: bool) -> Claim:
        claim = self._store.write(lambda txn, tables: self._claim(txn, tables, keys, limit, impatient), None)
        if claim is None:  # nothing can be written, so nothing can be agreed on
            return Claim(mine=list(keys[:limit]), unseen=list(keys[limit:]))
        self._mine.update(claim.mine)
        return claim

    def store(self, values: Mapping[bytes, np.ndarray]) -> None:
        def put_and_end(txn, tables) -> bool:
            _put(txn, tables, values, self._max_bytes)
            self._end(txn, tables, values)
            return True

        if self._store.write(put_and_end, False):
            self._mine.difference_update(values)

    def release(self) -> None:
        if self._mine:
            self._store.write(lambda txn, tables: self._end(txn, tables, self._mine), None)
            self._mine.clear()

    def __exit__(self, *error) -> None:
        try:
            self.release()
        finally:
            self._owner.release()

    def _claim(self, txn, tables, keys: Sequence[bytes], limit: int, impatient: bool) -> Claim:
        claim = Claim()
        if self._can_claim is None:  # not before the folder is there
            self._can_claim = self._owner.acquire()
        judged: dict[bytes, bool] = {}
        for index, key in enumerate(keys):
            if len(claim.mine) == limit:
                claim.unseen = list(keys[index:])
                break
            value = decode(key, txn.get(key, db=tables["codes"]))
            if value is not None:
                claim.ready[key] = value
            elif self._is_busy(txn.get(key, db=tables["claims"]), judged, impatient):
                claim.busy.append(key)
            else:
                claim.mine.append(key)
                if self._can_claim:
                    txn.put(key, self._owner.id, db=tables["claims"])
        return claim

    def _is_busy(self, owner_id: bytes | None, judged: dict[bytes, bool], impatient: bool) -> bool:
        if owner_id is None or not self._can_claim:
            return False
        if impatient:
            self._distrusted.add(owner_id)
        if owner_id not in judged:
            judged[owner_id] = owner_id not in self._distrusted and blocks(self._store.owners, owner_id)
        return judged[owner_id]

    def _end(self, txn, tables, keys) -> None:
        for key in keys:
            if txn.get(key, db=tables["claims"]) == self._owner.id:
                txn.delete(key, db=tables["claims"])


# The tables: `codes` is key -> record, `order` is place -> key, the places counting up with every record written.
_LAST_PLACE = 2**63


def _put(txn, tables, pairs: Mapping[bytes, np.ndarray], max_bytes: int | None) -> None:
    place = _next_place(txn, tables)
    for key, value in pairs.items():
        _forget_place(txn, tables, txn.get(key, db=tables["codes"]))
        txn.put(key, encode(key, value, place), db=tables["codes"])
        txn.put(place.to_bytes(8, "big"), key, db=tables["order"])
        place += 1
    if max_bytes is not None:
        _prune(txn, tables, max_bytes)


def _next_place(txn, tables) -> int:
    cursor = txn.cursor(db=tables["order"])
    if not cursor.last():
        return 0
    place = int.from_bytes(cursor.key(), "big")
    if place > _LAST_PLACE:
        raise lmdb.CorruptedError("the order of the entries is damaged")
    return place + 1


def _forget_place(txn, tables, record: bytes | None) -> None:
    place = order_of(record) if record else None
    if place is not None:
        txn.delete(place.to_bytes(8, "big"), db=tables["order"])


def _prune(txn, tables, max_bytes: int) -> int:
    before = _taken(txn, tables)
    while _taken(txn, tables) > max_bytes and _forget_first(txn, tables):
        pass
    return before - _taken(txn, tables)


def _forget_first(txn, tables) -> bool:
    """Forget the entry written first; False if there was none."""
    cursor = txn.cursor(db=tables["order"])
    if not cursor.first():
        _clear(txn, tables)
        return False
    place, key = cursor.item()
    cursor.delete()
    record = txn.get(key, db=tables["codes"])
    if record is not None and order_of(record) in (None, int.from_bytes(place, "big")):
        txn.delete(key, db=tables["codes"])
    return True


def _clear(txn, tables) -> None:
    txn.drop(tables["codes"], delete=False)
    txn.drop(tables["order"], delete=False)


def _taken(txn, tables) -> int:
    return sum(_pages(txn.stat(tables[name])) for name in ("codes", "order"))


def _pages(stat: dict[str, Any]) -> int:
    if not stat["entries"]:
        return 0
    return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
