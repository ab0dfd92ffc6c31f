"""What y says: which rows are unlabelled, and the classes of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

UNLABELLED = -1  # the code of a row without label


def encode(y: Any, unlabelled: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return class codes, -1 where a row is unlabelled, and the sorted classes; y is not written to.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels. Missing values (NaN, None) mean unlabelled, unless `unlabelled` is None.
    unlabelled : scalar or None
        The label that means unlabelled, in arrays of text also its text; None is no label at all.
    name : str
        Of the estimator, for messages.

    Returns
    -------
    codes : int64 array of shape (n,)
    classes : array

    Raises
    ------
    ValueError
        If no row is labelled, or with one class only.
    """
    if y is None:
        raise ValueError(
            f"This {name} requires y to be passed, but the target y is None. Mark unlabelled rows with {unlabelled!r}."
        )
    y = column_or_1d(_as_array(y), warn=True)
    missing = _missing(y)
    if unlabelled is None and missing.any():
        assert_all_finite(y, input_name="y")
        raise ValueError(
            "Input y contains missing values, but unlabelled=None says that every row is labelled. Use "
            "unlabelled=np.nan to mark unlabelled rows by missing values alone."
        )
    is_labelled = ~(missing | _equals(y, unlabelled))
    labels = y[is_labelled]
    if len(labels) == 0:
        raise ValueError(
            f"y holds no label: all {len(y)} rows are {unlabelled!r} or missing, which means unlabelled. Give labels "
            "of the source rows."
        )
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    try:
        classes = np.unique(labels)
    except TypeError as error:
        raise ValueError(f"The labels in y cannot be sorted: {error}. Use labels of one type.") from error
    if len(classes) < 2:
        raise ValueError(_one_class(classes, is_labelled, unlabelled, name))
    codes = np.full(len(y), UNLABELLED, dtype=np.int64)
    codes[is_labelled] = np.searchsorted(classes, labels)
    return codes, classes


def _as_array(y: Any) -> Any:
    """Return lists of text and other things as objects: NumPy would make text of them all."""
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) == 2:
        objects = np.empty(len(y), dtype=object)
        objects[:] = y
        return objects
    return y


def _missing(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind == "O":
        return np.array([label is None or is_scalar_nan(label) or is_pandas_na(label) for label in y], dtype=bool)
    return np.zeros(len(y), dtype=bool)


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


def _one_class(classes: np.ndarray, is_labelled: np.ndarray, unlabelled: Any, name: str) -> str:
    n_marked = int((~is_labelled).sum())
    message = (
        f"{name} needs samples of at least 2 classes in the data, but the data contains only one class: "
        f"{classes.tolist()[0]!r}."
    )
    if n_marked:
        message += (
            f" {n_marked} rows are {unlabelled!r}, which means unlabelled; if it is a class, set unlabelled=None "
            "(every row is labelled) or unlabelled=np.nan (missing values mark unlabelled rows)."
        )
    return message
