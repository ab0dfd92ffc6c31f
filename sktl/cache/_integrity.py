"""Whether an LMDB file can be opened: a damaged one could otherwise end the process, by a bus error or worse.

Read here are the meta pages, all branch and leaf pages, and the list of free pages; not the pages of large values,
whose records carry a checksum of their own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_META = struct.Struct("=IIQQ48s48sQQ")  # magic, version, address, map size, two roots, last page, transaction
_TABLE = struct.Struct("=IHHQQQQQ")  # page size or padding, flags, depth, three counts of pages, entries, root
_HEADER = 16  # bytes at the start of a page: its number, padding, flags, where its free space starts and ends
_MAGIC = 0xBEEFC0DE
_NO_PAGE = 2**64 - 1
_BRANCH, _LEAF = 1, 2  # flags of pages
_BIG, _SUBTREE = 1, 2  # flags of nodes
_DEEPEST = 32
_BATCH = 1024
_RETRIES = 5


@dataclass
class FileState:
    """What a data file says of itself, and what is wrong with it (None if nothing is)."""

    map_size: int = 0
    fault: str | None = None


class _Fault(Exception):  # noqa: N818
    pass


@dataclass
class _Meta:
    page_size: int
    map_size: int
    roots: tuple[int, int]  # of the free list and of the tables
    n_pages: int
    transaction: int


def inspect(path: Path, *, thoroughly: bool = True) -> FileState:
    """Look for faults in a data file; one that is not there, or is empty, has none.

    If not `thoroughly`, only the meta pages are read.
    """
    state = FileState()
    for _ in range(_RETRIES):
        if not path.exists() or not path.stat().st_size:
            return FileState()
        try:
            meta = _read_meta(path)
            state = FileState(meta.map_size, _find_fault(path, meta, thoroughly))
            if state.fault is None or _read_meta(path).transaction == meta.transaction:
                return state
        except _Fault as fault:
            return FileState(fault=str(fault))
    return FileState(state.map_size)  # another process writes all the while, so what looks damaged is in use again


def _find_fault(path: Path, meta: _Meta, thoroughly: bool) -> str | None:
    needed = meta.n_pages * meta.page_size
    if path.stat().st_size < needed:
        return f"it is cut short: {path.stat().st_size} bytes of {needed}"
    try:
        if thoroughly:
            _Walk(path, meta).check()
    except _Fault as fault:
        return str(fault)
    return None


def _read_meta(path: Path) -> _Meta:
    with path.open("rb") as file:
        first = _parse_meta(file.read(_HEADER + _META.size))
        file.seek(first.page_size)
        second = _parse_meta(file.read(_HEADER + _META.size))
    return max(first, second, key=lambda meta: meta.transaction)  # LMDB goes by the newer one


def _parse_meta(page: bytes) -> _Meta:
    if len(page) < _HEADER + _META.size:
        raise _Fault("it is too short to have a head")
    magic, _, _, map_size, free, tables, last_page, transaction = _META.unpack_from(page, _HEADER)
    page_size, *_, free_root = _TABLE.unpack(free)
    if magic != _MAGIC or not 256 <= page_size <= 65536 or page_size & (page_size - 1):
        raise _Fault("its head is not that of a data file")
    return _Meta(page_size, map_size, (free_root, _TABLE.unpack(tables)[-1]), last_page + 1, transaction)


class _Walk:
    """One visit of every page of the trees."""

    def __init__(self, path: Path, meta: _Meta):
        self._meta = meta
        self._pages = np.memmap(path, np.uint8, "r", shape=(meta.n_pages, meta.page_size))
        self._uses = np.zeros(meta.n_pages + 1, np.int64)  # how often a page is used, as differences

    def check(self) -> None:
        self._use(np.array([0]), 2)
        free_root, tables_root = self._meta.roots
        free_list = _Leaves()
        self._walk(free_root, free_list)
        for record in free_list.inline + [self._big(*extent) for extent in free_list.big]:
            self._check_free(np.frombuffer(record, "=u8", len(record) // 8))
        tables = _Leaves()
        self._walk(tables_root, tables)
        for record in tables.subtrees:
            if len(record) != _TABLE.size:
                raise _Fault("the record of a table is damaged")
            self._walk(_TABLE.unpack(record)[-1], None)
        if (np.cumsum(self._uses[:-1]) > 1).any():
            raise _Fault("a page is used twice")

    def _walk(self, root: int, leaves: _Leaves | None) -> None:
        if root == _NO_PAGE:
            return
        level = np.array([root], np.uint64)
        for _ in range(_DEEPEST):
            kinds, children = set(), []
            for start in range(0, len(level), _BATCH):
                kind, below = self._check_pages(level[start : start + _BATCH], leaves)
                kinds.add(kind)
                children.append(below)
            if len(kinds) > 1:
                raise _Fault("a tree is not balanced")
            if kinds == {_LEAF}:
                return
            level = np.concatenate(children)
        raise _Fault("a tree is too deep")

    def _check_pages(self, numbers: np.ndarray, leaves: _Leaves | None) -> tuple[int, np.ndarray]:
        """Return the kind of these pages of one level, and the numbers of the pages below them."""
        self._use(numbers, 1)
        pages = self._pages[numbers.astype(np.int64)]
        words = pages.view("=u2")  # (pages, words)
        flags, lower, upper = words[:, 5], words[:, 6].astype(np.int64), words[:, 7].astype(np.int64)
        sound = (pages[:, :8].copy().view("=u8")[:, 0] == numbers) & (flags == flags[0]) & (lower % 2 == 0)
        sound &= (lower >= _HEADER + 2) & (lower <= upper) & (upper <= self._meta.page_size)
        if flags[0] not in (_BRANCH, _LEAF) or not sound.all():
            raise _Fault("a page is damaged")

        n_nodes = (lower - _HEADER) // 2
        row = np.repeat(np.arange(len(pages)), n_nodes)
        first = np.repeat(np.cumsum(n_nodes) - n_nodes, n_nodes)
        offset = words[row, _HEADER // 2 + np.arange(len(row)) - first].astype(np.int64)
        if ((offset % 2 != 0) | (offset < upper[row]) | (offset + 8 > self._meta.page_size)).any():
            raise _Fault("a node lies outside its page")
        low, high, node_flags, key_length = (words[row, offset // 2 + i].astype(np.int64) for i in range(4))
        data_at = offset + 8 + key_length
        if flags[0] == _BRANCH:
            if (data_at > self._meta.page_size).any():
                raise _Fault("a node lies outside its page")
            return _BRANCH, (low | high << 16 | node_flags << 32).astype(np.uint64)

        length = low | high << 16
        big = node_flags == _BIG
        if ((data_at + np.where(big, 8, length)) > self._meta.page_size).any():
            raise _Fault("a node lies outside its page")
        if not (big | (node_flags == 0) | ((node_flags == _SUBTREE) & (leaves is not None))).all():
            raise _Fault("a node has flags that are never set")
        places = data_at[big][:, None] + np.arange(8)
        starts = pages[row[big][:, None], places].copy().view("=u8")[:, 0]
        self._use(starts, (_HEADER - 1 + length[big]) // self._meta.page_size + 1)
        if leaves is not None:
            leaves.big.extend(zip(starts.tolist(), length[big].tolist()))
            for index in np.flatnonzero(~big):
                record = pages[row[index], data_at[index] : data_at[index] + length[index]].tobytes()
                (leaves.subtrees if node_flags[index] == _SUBTREE else leaves.inline).append(record)
        return _LEAF, numbers[:0]

    def _use(self, starts: np.ndarray, n_pages) -> None:
        if (starts >= self._meta.n_pages).any():
            raise _Fault("a page lies outside the file")
        ends = starts.astype(np.int64) + n_pages
        if (ends > self._meta.n_pages).any():
            raise _Fault("a page lies outside the file")
        np.add.at(self._uses, starts.astype(np.int64), 1)
        np.add.at(self._uses, ends, -1)

    def _big(self, start: int, length: int) -> bytes:
        n_pages = (_HEADER - 1 + length) // self._meta.page_size + 1
        return self._pages[start : start + n_pages].reshape(-1)[_HEADER : _HEADER + length].tobytes()

    def _check_free(self, record: np.ndarray) -> None:
        """Check a record of the list of free pages: their number, then they, in falling order."""
        if not len(record) or record[0] >= len(record) or record[0] + 1 < len(record) - 1:
            raise _Fault("the list of free pages is damaged")
        free = record[1 : int(record[0]) + 1]
        if (free[1:] >= free[:-1]).any():
            raise _Fault("the list of free pages is out of order")
        self._use(free, 1)


class _Leaves:
    """What the leaves of a small tree hold."""

    def __init__(self):
        self.inline: list[bytes] = []
        self.subtrees: list[bytes] = []
        self.big: list[tuple[int, int]] = []
