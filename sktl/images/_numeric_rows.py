"""Telling flattened pictures from everything else."""

from __future__ import annotations

from typing import Any

import torch
from scipy import sparse


def is_numeric_rows(X: Any) -> bool:
    """Whether `X` would be read as a 2-D array of numbers that memory holds, each row a flattened picture.

    Cheap: a list is judged by its first item. Sparse matrices count, so that whoever validates rows refuses them.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.images import is_numeric_rows
    >>> is_numeric_rows(np.zeros((10, 64))), is_numeric_rows(["a.jpg", "b.jpg"])
    (True, False)
    """
    if sparse.issparse(X):
        return True
    if isinstance(X, torch.Tensor) or hasattr(X, "__dask_graph__"):
        return False
    if isinstance(X, (list, tuple)):
        first = X[0] if len(X) else None
        if isinstance(first, memoryview):
            return False  # the bytes of a picture's file, as databases give them
        return (isinstance(first, (list, tuple)) and not is_nested(first)) or getattr(first, "ndim", None) == 1
    shape = getattr(X, "shape", None)
    if shape is None and hasattr(X, "__array__"):
        shape = X.__array__().shape
    if shape is None or len(shape) != 2:
        return False
    return not (shape[1] == 1 and _holds_items(X))


def is_nested(item: Any) -> bool:
    """Whether a list holds lists or arrays, as a picture of several lines does."""
    inner = item[0] if isinstance(item, (list, tuple)) and len(item) else None
    return isinstance(inner, (list, tuple)) or bool(getattr(inner, "shape", ()))


def _holds_items(X: Any) -> bool:
    """Whether a single column holds text or objects rather than numbers."""
    values = X.to_numpy() if hasattr(X, "to_numpy") else X if hasattr(X, "dtype") else X.__array__()
    kind = getattr(getattr(values, "dtype", None), "kind", "O")
    if kind == "O" and len(values):
        return not isinstance(values[0, 0], (int, float))
    return kind in "UST"
