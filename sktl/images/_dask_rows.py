"""Dask arrays read chunk by chunk, each chunk computed once for all the batches that lie in it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from sktl._forking import ForkSafeLock

KEPT_CHUNKS = 2  # a batch may lie across two


class DaskRows:
    """Rows of a dask array, by slice or by an array of indices.

    Parameters
    ----------
    array : dask.array.Array of shape (n, ...)
        The array; a chunk of rows must fit into memory.
    """

    def __init__(self, array: Any):
        self.shape = tuple(int(length) for length in array.shape)
        self.dtype = array.dtype
        self._array = array
        self._ends = np.cumsum(array.chunks[0])
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = ForkSafeLock()

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(self.shape[0])[index]
        if not len(rows):
            return np.empty((0, *self.shape[1:]), self.dtype)
        numbers = np.searchsorted(self._ends, rows, side="right")
        out: np.ndarray | None = None
        with self._lock:
            for number in np.unique(numbers):
                chunk = self._chunk(int(number))
                out = np.empty((len(rows), *chunk.shape[1:]), chunk.dtype) if out is None else out
                inside = numbers == number
                out[inside] = chunk[rows[inside] - (self._ends[number] - len(chunk))]
        assert out is not None
        return out

    def _chunk(self, number: int) -> np.ndarray:
        if number not in self._kept:
            start = 0 if number == 0 else int(self._ends[number - 1])
            self._kept[number] = np.asarray(self._array[start : int(self._ends[number])])
            while len(self._kept) > KEPT_CHUNKS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]
