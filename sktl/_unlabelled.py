"""Which rows of y are unlabelled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from sktl._array_api import column_or_1d

MARK = -1  # what means unlabelled by default


def as_labels(y: Any) -> np.ndarray:
    """Return y as an array of shape (n,); lists of text and other things as objects, for NumPy makes text of them."""
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) == 2:
        objects = np.empty(len(y), dtype=object)
        objects[:] = y
        y = objects
    return column_or_1d(y, warn=True)


def is_labelled(y: np.ndarray, unlabelled: Any = MARK) -> np.ndarray:
    """Return a mask of shape (n,): which labels are neither missing (NaN, None) nor `unlabelled`.

    Parameters
    ----------
    y : ndarray of shape (n,)
        As `as_labels` returns it.
    unlabelled : scalar or None, default=-1
        The label that means unlabelled, in arrays of text also its text; None is no label at all.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return ~(is_missing(y) | _equals(y, unlabelled))


def is_missing(y: np.ndarray) -> np.ndarray:
    """Return a mask of shape (n,): which labels are NaN, None, NaT or the like."""
    if y.dtype.kind in "mM":
        return np.isnat(y)
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind == "O":
        return np.array([_is_missing(label) for label in y], dtype=bool)
    return np.zeros(len(y), dtype=bool)


def _is_missing(label: Any) -> bool:
    if label is None or is_scalar_nan(label) or is_pandas_na(label):
        return True
    return isinstance(label, (datetime, np.datetime64, np.timedelta64)) and bool(label != label)  # pandas' NaT too


def _equals(y: np.ndarray, unlabelled: Any) -> np.ndarray:
    if unlabelled is None or is_scalar_nan(unlabelled):
        return np.zeros(len(y), dtype=bool)
    if y.dtype.kind in "UST":
        return y == str(unlabelled)
    if y.dtype.kind == "O":
        return np.array([_same(label, unlabelled) for label in y], dtype=bool)
    if y.dtype.kind == "b" or isinstance(unlabelled, str):
        return np.zeros(len(y), dtype=bool)
    return y == unlabelled


def _same(label: Any, unlabelled: Any) -> bool:
    if is_pandas_na(label) or isinstance(label, bool) != isinstance(unlabelled, bool):
        return False
    return bool(label == unlabelled) or (isinstance(label, str) and label == str(unlabelled))
