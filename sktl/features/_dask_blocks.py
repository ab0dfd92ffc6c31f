"""Dask collections as blocks of rows: which they are, how many rows they have, what the first of them holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktl._inputs import InputKind

BLOCK_ROWS = 512  # what unfit chunks are cut or joined to
LARGEST_BLOCK, SMALLEST_BLOCK = 1024, 64  # rows; where the largest chunk lies between, all are left as they are


@dataclass(frozen=True)
class Blocks:
    """The rows of a Dask collection, block by block.

    Attributes
    ----------
    collection : Dask collection
        An array whose chunks hold whole rows, a Series or data frame, or a bag.
    keys : list
        One key a block, in order.
    lengths : tuple of int or float
        Rows of each block, NaN where that is not known.
    """

    collection: Any
    keys: list[Any]
    lengths: tuple[float, ...]

    @property
    def starts(self) -> list[int | None]:
        """Return the number of the first row of each block, None where that is not known."""
        ends = np.concatenate([[0.0], np.cumsum(self.lengths)])
        return [None if np.isnan(end) else int(end) for end in ends[:-1]]

    @property
    def n_rows(self) -> int | None:
        """Return the number of rows, None where that is not known."""
        total = float(np.sum(self.lengths))
        return None if np.isnan(total) else int(total)


def is_dask(X: Any) -> bool:
    """Whether X is a Dask collection.

    Raises
    ------
    TypeError
        If X is a delayed object: nothing is known of its rows.
    """
    if isinstance(X, type) or not callable(getattr(X, "__dask_graph__", None)):
        return False
    if type(X).__name__.startswith("Delayed"):
        raise TypeError(
            "X is Dask's delayed; it must be a Dask array, a Series or column of a data frame, or a bag. "
            "dask.array.from_delayed and dask.bag.from_delayed make one of delayed blocks."
        )
    return True


def is_dask_array(X: Any) -> bool:
    """Whether X is a Dask array."""
    return is_dask(X) and hasattr(X, "chunks") and hasattr(X, "dtype")


def holds_numbers(X: Any) -> bool:
    """Whether X is a Dask array of numbers, pictures or rows; not of paths and other objects."""
    return is_dask_array(X) and X.dtype.kind in "biuf"


def as_blocks(X: Any, rows: int | None = None) -> Blocks:
    """Return a Dask collection as blocks of whole rows.

    Parameters
    ----------
    X : Dask array, Series, data frame or bag
        The rows.
    rows : int, default=None
        Rows a block of an array of known length; None leaves its chunks as they are, but for very large and very small
        ones. Partitions of the others stay.
    """
    if is_dask_array(X):
        X = _rechunked(X, rows)
        return Blocks(X, [key for key in _flat(X.__dask_keys__())], tuple(map(float, X.chunks[0])))
    if hasattr(X, "optimize") and hasattr(X, "_meta"):
        X = X.optimize()  # columns that are not asked for are not read
    return Blocks(X, list(X.__dask_keys__()), (np.nan,) * X.npartitions)


def graph_over(collection: Any, name: str, layer: Any, values: Mapping[str, Any]) -> Any:
    """Return the graph of a layer of tasks over a collection, and of values that each worker is sent once."""
    from dask.highlevelgraph import HighLevelGraph

    base = HighLevelGraph.from_collections(name, layer, dependencies=[collection])
    layers: dict[str, Any] = {**base.layers, **{key: {key: value} for key, value in values.items()}}
    dependencies = {**base.dependencies, **{key: set() for key in values}}
    dependencies[name] = {*base.dependencies[name], *values}
    return HighLevelGraph(layers, dependencies)


def first_block(X: Any) -> Any:
    """Return the first rows of a Dask collection, computed; an array of pictures of known length stays as it is.

    All that `fit` asks of such an array stands in its shape.

    Raises
    ------
    ValueError
        If there is no row at all.
    """
    if not is_dask(X) or (holds_numbers(X) and X.ndim > 2 and not np.isnan(X.shape[0])):
        return X
    for number in range(X.numblocks[0] if is_dask_array(X) else X.npartitions):
        rows = _computed(X, number)
        if len(rows):
            return rows
    raise ValueError("X holds no rows: found array with 0 sample(s) while a minimum of 1 is required.")


def kind_of_all(X: Any, kind: InputKind, value_range: Any) -> InputKind:
    """Return how X was understood by its first block.

    Raises
    ------
    ValueError
        If black and white of flattened pictures would have to be looked for in all blocks.
    """
    if is_dask(X) and kind.value_range is not None and value_range is None:
        raise ValueError(
            "The first block of X, rows that are flattened pictures, has values beyond [0, 1]. What is black and what "
            "is white would have to be looked for in all blocks of a Dask array; pass value_range=(black, white)."
        )
    return kind


def _computed(X: Any, number: int) -> Any:
    if is_dask_array(X):
        return np.asarray(X.blocks[number].compute())
    if hasattr(X, "get_partition"):
        return X.get_partition(number).compute()
    return list(X.to_delayed()[number].compute())


def _rechunked(X: Any, rows: int | None) -> Any:
    """Return an array whose chunks hold whole rows, and as many of them as suit a network."""
    chunks: dict[int, Any] = {axis: -1 for axis in range(1, X.ndim) if len(X.chunks[axis]) > 1}
    lengths = X.chunks[0]
    if not np.isnan(lengths).any() and sum(lengths):
        if rows is not None:
            chunks[0] = rows
        elif max(lengths) > LARGEST_BLOCK or (max(lengths) < SMALLEST_BLOCK and len(lengths) > 1):
            chunks[0] = BLOCK_ROWS
    if not chunks:
        return X
    if holds_numbers(X):  # joined, values would be cast to what the first chunk holds
        X = X.map_blocks(as_said, str(X.dtype), dtype=X.dtype, meta=X._meta)
    return X.rechunk(chunks)


def as_said(block: Any, kind: str | None, where: str = "A chunk") -> Any:
    """Return a block whose dtype is the one that Dask was told of.

    Raises
    ------
    ValueError
        If it is another one: values of another range would be read as if they were of the first.
    """
    found = getattr(block, "dtype", None)
    if kind is not None and found is not None and found != kind and {np.dtype(kind).kind, found.kind} != {"f"}:
        raise ValueError(
            f"{where} was said to hold {kind}, but holds {found}, whose values have another range. Give all parts one "
            "dtype, the one that Dask is told."
        )
    return block


def _flat(keys: Sequence[Any]) -> list[Any]:
    """Return nested lists of keys as one list; a key is a tuple or a text."""
    found: list[Any] = []
    for key in keys:
        found.extend(_flat(key) if isinstance(key, list) else [key])
    return found
