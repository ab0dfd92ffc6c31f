"""Rows of NumPy arrays, torch tensors and arrays that are read on demand, by one road."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

BLOCK_VALUES = 2**24


def is_array_like(X: Any) -> bool:
    """Whether `X` says its shape and dtype, and slices."""
    return all(hasattr(X, attribute) for attribute in ("shape", "dtype", "__getitem__"))


def is_lazy(X: Any) -> bool:
    """Whether rows of `X` are computed or read from a disk when they are asked for."""
    return isinstance(X, np.memmap) or not isinstance(X, (np.ndarray, torch.Tensor))


def dtype_of(X: Any) -> np.dtype:
    """Return the NumPy dtype that rows of `X` come in."""
    if not isinstance(X, torch.Tensor):
        try:
            return np.dtype(X.dtype)
        except TypeError:
            pass
    return to_numpy(X[:1]).dtype


def to_numpy(rows: Any) -> np.ndarray:
    """Return rows as a NumPy array; dtypes that NumPy lacks become float32."""
    if isinstance(rows, torch.Tensor):
        rows = rows.detach()
        if rows.is_floating_point() and rows.dtype not in (torch.float16, torch.float32, torch.float64):
            rows = rows.float()
        return rows.cpu().numpy()
    return np.asarray(rows)


def take(X: Any, indices: np.ndarray) -> np.ndarray:
    """Return the rows `indices` of `X`; of a lazy array nothing else is read."""
    first, last = int(indices[0]), int(indices[-1])
    if last - first + 1 == len(indices) and (np.diff(indices) == 1).all():
        return to_numpy(X[first : last + 1])
    if isinstance(X, torch.Tensor):
        return to_numpy(X[torch.from_numpy(indices).to(X.device)])
    if not is_lazy(X):
        return X[indices]
    unique, inverse = np.unique(indices, return_inverse=True)
    # Of lazy arrays only slices are taken for granted.
    runs = np.split(unique, np.flatnonzero(np.diff(unique) != 1) + 1)
    return np.concatenate([to_numpy(X[int(run[0]) : int(run[-1]) + 1]) for run in runs])[inverse]


def blocks(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the indices of all rows in runs whose values fit into memory with ease."""
    step = max(1, BLOCK_VALUES // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        yield np.arange(start, min(start + step, shape[0]))
