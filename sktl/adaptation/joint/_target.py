"""What y says of each row: whether it is labelled, and what is learned of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array

from sktl._array_api import on_host
from sktl._columns import check_length
from sktl._magnitudes import standardiser
from sktl.adaptation.joint._labels import UNLABELLED, encode
from sktl.training import to_largest


@dataclass(frozen=True)
class Target:
    """What is learned of the labelled rows.

    Attributes
    ----------
    values : array of shape (n,) or (n, n_outputs)
        Class numbers, int64, -1 where a row is unlabelled; or standardised numbers, float32, zero there.
    is_labelled : bool array of shape (n,)
    n_outputs : int
        Of the network.
    learned : dict
        Attributes that are learned of y.
    """

    values: np.ndarray
    is_labelled: np.ndarray
    n_outputs: int
    learned: dict[str, Any]

    @property
    def is_class(self) -> bool:
        """Whether classes are learned, not numbers."""
        return self.values.dtype.kind == "i"


def classes_of(y: Any, unlabelled: Any, name: str) -> Target:
    """Return the classes of y; see `encode`."""
    values, classes = encode(y, unlabelled, name)
    return Target(values, values != UNLABELLED, len(classes), {"classes_": classes})


def numbers_of(y: Any, sample_weight: np.ndarray | None, estimator: Any) -> Target:
    """Return the numbers of y, standardised by the rows that have any and weigh something.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_outputs)
        NaN or None in the rows of the target.
    sample_weight : float64 array of shape (n,) or None
    estimator : estimator
        Is named in messages.

    Raises
    ------
    ValueError
        If no row has a number, or one has some of several.
    """
    name = type(estimator).__name__
    table, is_single = _with_missing(y, estimator)
    if sample_weight is not None:
        check_length(table, len(sample_weight), "y")
    is_labelled = _has_numbers(table, name)
    counts = is_labelled if sample_weight is None else is_labelled & (sample_weight > 0)
    weights = None if sample_weight is None else to_largest(sample_weight[counts])
    if not counts.any():
        raise ValueError("No labelled row is left to learn from: all have a weight of zero.")
    scaler = standardiser(table[counts], weights, "y")
    values = np.zeros(table.shape, dtype=np.float32)
    values[counts] = scaler.transform(table[counts])
    learned = {"n_outputs_": table.shape[1], "_target_scaler": scaler, "_is_single": is_single}
    return Target(values, is_labelled, table.shape[1], learned)


def values_of(y: Any, estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return y as a table, (n, n_outputs), and which rows have numbers."""
    table, _ = _with_missing(y, estimator)
    return table, _has_numbers(table, type(estimator).__name__)


def _has_numbers(table: np.ndarray, name: str) -> np.ndarray:
    """Return whether each row has its numbers."""
    is_missing = np.isnan(table)
    is_labelled = ~is_missing.any(axis=1)
    in_part = np.flatnonzero(~is_labelled & ~is_missing.all(axis=1))
    if len(in_part):
        raise ValueError(
            f"Row {in_part[0]} of y has some of its {table.shape[1]} numbers and lacks others. A row of the target has "
            "none, a row of the source has all: fit one estimator a number, or leave the row out."
        )
    if not is_labelled.any():
        raise ValueError(
            f"y holds no number: all {len(table)} rows are missing, which means unlabelled. {name} needs numbers of "
            "the source rows."
        )
    return is_labelled


def _with_missing(y: Any, estimator: Any) -> tuple[np.ndarray, bool]:
    """Return y as a table, float64 of shape (n, n_outputs), with NaN for missing numbers, and whether it was (n,)."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} requires y to be passed, but the target y is None. NaN marks rows of "
            "the target."
        )
    y = on_host(y, "y")
    if getattr(np.asarray(y), "dtype", np.dtype(float)).kind in "mM":
        raise ValueError("y holds dates or time differences; a regression learns numbers. Convert them, to days say.")
    values = check_array(
        y, ensure_2d=False, dtype=np.float64, input_name="y", ensure_all_finite="allow-nan",
        estimator=type(estimator).__name__,
    )  # fmt: skip
    return values.reshape(len(values), -1), values.ndim == 1
