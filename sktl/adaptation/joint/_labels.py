"""What y says: which rows are unlabelled, and the classes of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import assert_all_finite

from sktl._columns import check_classes
from sktl._unlabelled import as_labels, is_missing, known_labels, warn_of_negatives, warn_of_three_way_labels
from sktl._unlabelled import is_labelled as labelled_rows

UNLABELLED = -1  # the number of a row without label


def encode(y: Any, unlabelled: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return class numbers, -1 where a row is unlabelled, and the sorted classes; y is not written to.

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
    numbers : int64 array of shape (n,)
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
    y = as_labels(y)
    if unlabelled is None and is_missing(y).any():
        assert_all_finite(y, input_name="y")
        raise ValueError(
            "Input y contains missing values, but unlabelled=None says that every row is labelled. Use "
            "unlabelled=np.nan to mark unlabelled rows by missing values alone."
        )
    is_labelled = labelled_rows(y, unlabelled)
    labels = known_labels(y, is_labelled)
    if len(labels) == 0:
        raise ValueError(
            f"y holds no label: all {len(y)} rows are {unlabelled!r} or missing, which means unlabelled. Give labels "
            "of the source rows."
        )
    check_classes(labels)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(_one_class(classes, is_labelled, unlabelled, name))
    warn_of_negatives(classes, unlabelled)
    warn_of_three_way_labels(y, is_labelled, unlabelled)
    numbers = np.full(len(y), UNLABELLED, dtype=np.int64)
    numbers[is_labelled] = np.searchsorted(classes, labels)
    return numbers, classes


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
