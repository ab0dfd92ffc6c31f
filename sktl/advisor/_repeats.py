"""Which rows are the same, whatever holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

DECIMALS = 5  # of a network's codes, at unit length: the last ones depend on the batch


def repeats(rows: Any) -> np.ndarray:
    """Return a number for each row, the same for rows that are the same: tables, sparse rows, lists of anything.

    Values count as they are: rows far from zero, or in a small unit, are not taken for repeats. Rows with something
    inside that cannot be compared are repeats of none.
    """
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in _keys(rows)], dtype=int)


def repeated_codes(codes: np.ndarray) -> np.ndarray:
    """Return the same of a network's codes at unit length, whose last decimals depend on the batch."""
    return repeats(np.round(codes.astype(np.float32), DECIMALS))


def connected(same: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return a number for each row, the same for rows that repeat each other or are of one group, by way of others too.

    Parameters
    ----------
    same, group : int array of shape (n,)
        0, 1, ...
    """
    n_same, n_groups = int(same.max()) + 1, int(group.max()) + 1
    edges = sparse.coo_array((np.ones(len(same)), (same, n_same + group)), shape=(n_same + n_groups,) * 2)
    return connected_components(edges, directed=False)[1][same]


def _keys(rows: Any) -> Iterator[Hashable]:
    if sparse.issparse(rows):
        return _sparse_keys(rows.tocsr().copy())
    if hasattr(rows, "to_numpy"):
        rows = rows.to_numpy()
    elif hasattr(rows, "numpy"):
        rows = rows.numpy()
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "fiubc":
        return (row.tobytes() for row in np.ascontiguousarray(rows + rows.dtype.type(0)))  # -0.0 becomes 0.0
    return _each(rows)


def _sparse_keys(rows: Any) -> Iterator[Hashable]:
    rows.sum_duplicates()
    rows.eliminate_zeros()
    ends = zip(rows.indptr[:-1], rows.indptr[1:])
    return ((rows.indices[a:b].tobytes(), rows.data[a:b].tobytes()) for a, b in ends)


def _each(rows: Iterable[Any]) -> Iterator[Hashable]:
    for row in rows:
        try:
            key = _key(row)
            hash(key)
        except TypeError:
            key = _Own()
        yield key


class _Own:
    """A key like no other."""


def _key(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return value.shape, tuple(map(_key, value.ravel().tolist()))
        return value.shape, value.dtype.str, hashlib.sha256(value.tobytes()).digest()
    if isinstance(value, (list, tuple)):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return frozenset((name, _key(part)) for name, part in value.items())
    if isinstance(value, float) and value != value:
        return "NaN", float
    return value
