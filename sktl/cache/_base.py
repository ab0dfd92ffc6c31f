"""What every store of codes can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from sktl.cache._claims import CLAIM_SIZE, ClaimSession, Compute, compute_missing
from sktl.cache._records import checked_keys


class CodeCache(ABC):
    """A store of codes by content.

    A key is made of all that a code depends on (picture, network, layer, preprocessing, precision), so an entry can
    never be out of date. Stores are shared, not copied: cloning an estimator keeps its store.
    """

    @abstractmethod
    def get_many(self, keys: Sequence[bytes]) -> list[np.ndarray | None]:
        """Return the value of each key, read-only and bit by bit as it was put, or None where there is none.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        values : list of (ndarray or None)
        """

    @abstractmethod
    def put_many(self, keys: Sequence[bytes], values: Sequence[np.ndarray]) -> None:
        """Store one value a key; a key that has a value gets the new one.

        Parameters
        ----------
        keys : sequence of bytes
        values : sequence of array-like
            Of any shape and any dtype of numbers; they need not be alike.
        """

    @property
    @abstractmethod
    def n_entries(self) -> int:
        """How many values are stored."""

    @property
    @abstractmethod
    def n_bytes(self) -> int:
        """How many bytes the values take."""

    @abstractmethod
    def prune(self, max_bytes: int) -> int:
        """Forget values until at most `max_bytes` are taken, and return how many bytes that has freed."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all values."""

    @abstractmethod
    def _claims(self) -> ClaimSession:
        """Return a session in which keys can be claimed."""

    def get_or_compute(
        self, keys: Sequence[bytes], compute: Compute, *, claim_size: int = CLAIM_SIZE
    ) -> list[np.ndarray]:
        """Return the value of each key, computing and storing those that are missing.

        A key is computed once, however often it is among the keys and however many threads and processes ask for it
        at the same time: each claims some of the missing keys, computes and stores them, and then waits for those
        that others have claimed. What another has claimed is taken over if it fails or dies.

        Parameters
        ----------
        keys : sequence of bytes
        compute : callable
            Called with a list of positions in `keys`, once for each claim; yields blocks of (positions, values). A
            block is stored as soon as it is yielded, so that an interrupted run can be resumed.
        claim_size : int, default=64
            How many keys are claimed, and given to `compute`, at a time. Large claims suit a `compute` that is
            costly to start, small ones share the work more evenly.

        Returns
        -------
        values : list of ndarray
            Read-only.

        Examples
        --------
        >>> import numpy as np
        >>> from sktl.cache import MemoryCache
        >>> def compute(positions):
        ...     print("computing", positions)
        ...     yield positions, [np.float32(position) for position in positions]
        >>> cache = MemoryCache()
        >>> values = cache.get_or_compute([b"a", b"b", b"a"], compute)
        computing [0, 1]
        >>> values = cache.get_or_compute([b"b", b"c"], compute)
        computing [1]
        """
        if claim_size < 1:
            raise ValueError(f"claim_size must be at least 1, got {claim_size}.")
        keys = checked_keys(keys)
        position_of: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            position_of.setdefault(key, position)

        values = {key: value for key, value in zip(position_of, self.get_many(list(position_of))) if value is not None}
        missing = [key for key in position_of if key not in values]
        if missing:
            with self._claims() as session:
                values.update(compute_missing(session, position_of, missing, compute, claim_size))
        return [values[key] for key in keys]

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


def checked_bound(max_bytes: int) -> int:
    """Return `max_bytes`, or say why it cannot be a bound."""
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, (int, np.integer)):
        raise TypeError(f"max_bytes must be an int, got {type(max_bytes).__name__}.")
    if max_bytes < 0:
        raise ValueError(f"max_bytes must not be negative, got {max_bytes}.")
    return int(max_bytes)


def human_size(n_bytes: int) -> str:
    """Return a number of bytes in the unit that suits it.

    Examples
    --------
    >>> human_size(6_700_000)
    '6.4 MiB'
    """
    if n_bytes < 1024:
        return f"{n_bytes} B"
    size, units = n_bytes / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.1f} {units[0]}"
