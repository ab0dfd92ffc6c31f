"""What every score of codes is given: rows, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktl._array_api import check_array, n_rows
from sktl._columns import class_labels
from sktl._magnitudes import LARGEST_FLOAT64, check_magnitude, check_not_vanishing


@dataclass(frozen=True)
class LabelledCodes:
    """Codes and classes, checked.

    Attributes
    ----------
    codes : ndarray of shape (n, n_codes), float64
        One row an example.
    number : ndarray of shape (n,), int
        Each row's class, as its place in `classes`.
    classes : ndarray
        The labels, sorted.
    """

    codes: np.ndarray
    number: np.ndarray
    classes: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each class."""
        return np.bincount(self.number, minlength=len(self.classes))

    def one_hot(self) -> np.ndarray:
        """Return ones at each row's class, (n, n_classes)."""
        return (self.number[:, None] == np.arange(len(self.classes))).astype(np.float64)


def labelled_codes(codes: Any, y: Any, score: str) -> LabelledCodes:
    """Return codes and classes as arrays.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Finite numbers.
    y : array-like of shape (n,)
        Labels of two or more classes.
    score : str
        That messages name.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, or y has another length, missing labels or one class.
    """
    rows = matrix(codes, "codes")
    labels = class_labels(y, n_rows(rows, "codes"), score)
    classes, number = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{score} compares classes and needs two or more; y holds one class only, {classes.tolist()[0]!r}."
        )
    return LabelledCodes(rows, number, classes)


def matrix(values: Any, name: str, *, min_rows: int = 2, may_vanish: bool = False) -> np.ndarray:
    """Return a table of finite numbers as float64, (n, n_columns), whose squares are not all 0 unless they may be."""
    rows = check_array(values, dtype=np.float64, ensure_min_samples=min_rows, input_name=name)
    check_magnitude(rows, LARGEST_FLOAT64, name)
    if not may_vanish:
        check_not_vanishing(rows, name=name)
    return rows
