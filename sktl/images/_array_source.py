"""Pictures in an array, or as its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash

from sktl._preprocessing import Preprocessing
from sktl.images._arraylike import blocks, dtype_of, is_lazy, take, to_numpy
from sktl.images._pixels import check_extremes, check_values, over_ground, to_uint8, warn_if_shallow
from sktl.images._resample import placement, write_scaled
from sktl.images._shapes import Layout
from sktl.images._source import PictureSource


class ArraySource(PictureSource):
    """Pictures of one size in an array, a tensor, or an array that is read on demand.

    Values in memory are checked when the source is made, those of a lazy array block by block as they are read.

    Parameters
    ----------
    array : array-like of shape (n, ...)
        Anything with `shape`, `dtype` and slices.
    layout : Layout
        How one picture lies in it.
    value_range : (float, float), default=None
        Values that become 0 and 255; None goes by the dtype.
    name : str, default="X"
        What messages call the array.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.images import as_pictures
    >>> source = as_pictures(np.zeros((5, 3, 32, 32), dtype=np.uint8))
    >>> source.kind, source.shape
    ('arrays', (5, 32, 32, 3))
    """

    shape: tuple[int, int, int, int]

    def __init__(
        self, array: Any, layout: Layout, *, value_range: tuple[float, float] | None = None, name: str = "X"
    ) -> None:
        self.kind = "rows" if len(array.shape) == 2 else "arrays"
        self.shape = (int(array.shape[0]), *layout.shape)
        self._array = array
        self._layout = layout
        self._value_range = value_range
        self._name = name
        self._in_memory = not is_lazy(array)
        self._is_scaled_from_16_bits = value_range is None and dtype_of(array).newbyteorder("=") == np.uint16
        self._hash = xxhash.xxh3_128(f"sktl picture in an array {layout.shape}\0".encode())
        if self._in_memory:
            self._check_all()

    def __len__(self) -> int:
        return self.shape[0]

    def check(self, n_jobs: int | None = None) -> None:
        """Do nothing: what is in memory was checked when the source was made."""

    def read(self, i: int) -> np.ndarray:
        """Return picture `i` as it is held."""
        return take(self._array, self.checked([i]))[0]

    def pixels(self, i: int) -> np.ndarray:
        """Return picture `i` in uint8, (H, W, C)."""
        return self._at(self.checked([i]))[0]

    def digest(self, i: int, raw: Any = None) -> bytes:
        """Return 16 bytes that name the uint8 pixels of picture `i` and their shape."""
        rows = take(self._array, self.checked([i])) if raw is None else np.asarray(raw)[None]
        return self._hashed(self._converted(rows, np.array([i])))[0]

    def digests(self, start: int, stop: int, n_jobs: int | None = None) -> list[bytes]:
        """Return the digests of pictures `start` to `stop`, `stop` left out."""
        which = self.checked(np.arange(start, stop))
        return [
            digest for run in blocks((len(which), *self.shape[1:])) for digest in self._hashed(self._at(which[run]))
        ]

    def write(self, out: np.ndarray, indices: np.ndarray, preprocessing: Preprocessing, *, draft: bool = True) -> None:
        """Write the pictures `indices` into the uint8 array `out` (b, h, w, 3)."""
        pixels = self._at(indices)
        write_scaled(out, over_ground(pixels) if pixels.shape[3] == 4 else pixels, preprocessing)

    def failures(
        self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing, n_jobs: int | None
    ) -> dict[int, str]:
        """Return nothing: pixels need no decoding."""
        return {}

    def task_size(self, preprocessing: Preprocessing, batch_size: int, n_threads: int) -> int:
        """Return how many pictures a thread does best at a time; 0 where threads do not pay."""
        if not self._in_memory:
            return batch_size
        needs_scaling = placement(self.shape[1:3], preprocessing)[0] != self.shape[1:3]
        return -(-batch_size // n_threads) if needs_scaling else 0

    def _at(self, indices: np.ndarray) -> np.ndarray:
        return self._converted(take(self._array, indices), indices)

    def _converted(self, rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Return rows of the array as uint8 pictures (b, H, W, C)."""
        if not self._in_memory:
            check_values(rows, self._value_range, indices, self._name)
            if self._is_scaled_from_16_bits:
                warn_if_shallow(int(rows.max()), self._name)
        pixels = to_uint8(rows, self._value_range).reshape(len(rows), *self._layout.stored)
        if pixels.ndim == 3:
            return pixels[..., None]
        return pixels.transpose(0, 2, 3, 1) if self._layout.channels_first else pixels

    def _hashed(self, pixels: np.ndarray) -> list[bytes]:
        digests = []
        for picture in np.ascontiguousarray(pixels).reshape(len(pixels), -1):
            state = self._hash.copy()
            state.update(picture.data)
            digests.append(state.digest())
        return digests

    def _check_all(self) -> None:
        if isinstance(self._array, torch.Tensor) and self._array.is_floating_point():
            # On its own device: a tensor on a GPU is not copied whole to be looked at.
            low, high = (float(extreme) for extreme in torch.aminmax(self._array.detach()))
            if np.isfinite([low, high]).all():
                if self._value_range is None:
                    check_extremes(low, high, dtype_of(self._array), self._name)
                return
        largest = 0
        for indices in blocks(tuple(self._array.shape)):
            rows = to_numpy(self._array[int(indices[0]) : int(indices[-1]) + 1])
            check_values(rows, self._value_range, indices, self._name)
            if self._is_scaled_from_16_bits:
                largest = max(largest, int(rows.max()))
        warn_if_shallow(largest, self._name)
