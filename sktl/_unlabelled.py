"""Which rows of y are unlabelled."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from sktl._array_api import check_no_tuples, column_or_1d
from sktl._warn_once import warn_user

MARK = -1  # what means unlabelled by default


def as_labels(y: Any, name: str = "y") -> np.ndarray:
    """Return y as an array of shape (n,); lists of text and other things as objects, for NumPy makes text of them.

    So are pandas' own types, of whose integers and Booleans NumPy makes floats where one is missing. Dates by the
    nanosecond become dates by the microsecond where these are the same.

    Raises
    ------
    ValueError
        If it is a list of tuples, or not of one entry a row.
    """
    check_no_tuples(y, name)
    if type(y).__module__.startswith("pandas") and not isinstance(getattr(y, "dtype", np.dtype("O")), np.dtype):
        y = np.asarray(y, dtype=object)
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) == 2:
        objects = np.empty(len(y), dtype=object)
        objects[:] = y
        y = objects
    return in_microseconds(column_or_1d(y, warn=True))


def in_microseconds(values: np.ndarray) -> np.ndarray:
    """Return dates by the nanosecond, of which Python makes bare counts, by the microsecond where nothing is lost."""
    if values.dtype.kind not in "mM" or np.datetime_data(values.dtype)[0] != "ns":
        return values
    rounded = values.astype(f"{values.dtype.kind}8[us]")
    same = (rounded.astype(values.dtype) == values) | np.isnat(values)
    return rounded if same.all() else values


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


def known_labels(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the labels of labelled rows; of objects that are all numbers, truth values or dates, such an array.

    Parameters
    ----------
    y : ndarray of shape (n,)
        As `as_labels` returns it.
    rows : ndarray
        A mask, or row numbers.

    Returns
    -------
    ndarray of shape (n_labelled,)
    """
    labels = numbers_of(y[rows])
    return in_microseconds(_instants(labels)) if labels.dtype.kind == "O" else labels


def numbers_of(labels: np.ndarray) -> np.ndarray:
    """Return objects that are all numbers, or all truth values, as an array of that type, and others as they are."""
    if labels.dtype.kind != "O":
        return labels
    is_bool = [isinstance(label, (bool, np.bool_)) for label in labels]
    if all(is_bool):
        return labels.astype(bool)
    for number in (Integral, Real):
        if not any(is_bool) and all(isinstance(label, number) for label in labels):
            return np.array(labels.tolist())
    return labels


def moment_of(value: Any) -> np.datetime64 | np.timedelta64 | None:
    """Return a date or a time difference as NumPy's; None for other things, and for times of a time zone."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return value
    if isinstance(value, timedelta):  # pandas' know nanoseconds
        return value.to_timedelta64() if hasattr(value, "to_timedelta64") else np.timedelta64(value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return None
        return value.to_datetime64() if hasattr(value, "to_datetime64") else np.datetime64(value)
    return np.datetime64(value) if isinstance(value, date) else None


def _instants(labels: np.ndarray) -> np.ndarray:
    """Return dates, times without a zone, or differences of time, all of one type, as NumPy's; else what was given."""
    if len({type(label) for label in labels}) != 1:
        return labels
    moments = [moment_of(label) for label in labels]
    return labels if any(moment is None for moment in moments) else np.array(moments)


def warn_of_negatives(labels: np.ndarray, unlabelled: Any) -> None:
    """Say that negative numbers other than the mark are classes, where the user has not chosen a mark that is none."""
    if unlabelled is None or is_scalar_nan(unlabelled) or labels.dtype.kind not in "if":
        return
    negative = np.unique(labels[labels < 0]).tolist()
    if negative:
        warn_user(
            f"y holds {', '.join(map(str, negative[:5]))}: a negative label is a class, unless it is the mark of "
            f"unlabelled rows, unlabelled={unlabelled!r}. If it marks unlabelled rows, set unlabelled={negative[0]}.",
        )


def warn_of_three_way_labels(y: np.ndarray, labelled: np.ndarray, unlabelled: Any) -> None:
    """Say that rows of -1 are left out where they look like the first of the classes -1, 0 and 1.

    That is, beside 0 and 1 alone, not all of them behind the labelled rows, and no more than two classes together.

    Parameters
    ----------
    y : ndarray of shape (n,)
        As `as_labels` returns it.
    labelled : ndarray of bool, shape (n,)
        What `is_labelled` returns.
    unlabelled : scalar or None
        The mark.
    """
    if not np.array_equal(unlabelled, MARK) or labelled.all() or not labelled.any():
        return
    sizes = Counter(map(str, y[labelled].tolist()))  # text that reads as numbers is of them
    if set(sizes) not in ({"0", "1"}, {"0.0", "1.0"}):
        return
    marked = np.flatnonzero(_equals(y, unlabelled))
    is_behind = len(marked) and marked[0] > np.flatnonzero(labelled)[-1]
    if len(marked) and not is_behind and len(marked) <= 2 * max(sizes.values()):
        warn_user(
            f"y holds -1, 0 and 1, and {len(marked)} rows of -1 among the others are taken for unlabelled ones: -1 is "
            "never predicted. If it is a class, set unlabelled=None (every row is labelled) or unlabelled=np.nan "
            "(missing values mark unlabelled rows)."
        )


def is_missing(y: np.ndarray) -> np.ndarray:
    """Return a mask of shape (n,): which labels are NaN, None, NaT or the like."""
    if y.dtype.kind in "mM":
        return np.isnat(y)
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind in "OT":
        return np.array([is_missing_label(label) for label in y], dtype=bool)
    return np.zeros(len(y), dtype=bool)


def is_missing_label(label: Any) -> bool:
    """Whether a label is None, NaN, NaT or pandas' NA."""
    if label is None or is_scalar_nan(label) or is_pandas_na(label):
        return True
    itself = (datetime, np.datetime64, np.timedelta64, Decimal)  # pandas' NaT too
    return isinstance(label, itself) and bool(label != label)


def _equals(y: np.ndarray, unlabelled: Any) -> np.ndarray:
    if unlabelled is None or is_scalar_nan(unlabelled):
        return np.zeros(len(y), dtype=bool)
    if y.dtype.kind == "S":
        return y == _encoded(unlabelled)
    if y.dtype.kind in "UT":
        return y == _text(unlabelled)
    if y.dtype.kind == "O":
        return np.array([_same(label, unlabelled) for label in y], dtype=bool)
    mark = _instant(unlabelled) if y.dtype.kind == "M" else unlabelled
    is_truth = isinstance(unlabelled, (bool, np.bool_))
    if mark is None or isinstance(mark, str) or is_truth != (y.dtype.kind == "b"):
        return np.zeros(len(y), dtype=bool)
    return y == mark


def _same(label: Any, unlabelled: Any) -> bool:
    booleans = (bool, np.bool_)
    if is_pandas_na(label) or isinstance(label, booleans) != isinstance(unlabelled, booleans):
        return False
    if isinstance(label, bytes):
        return label == _encoded(unlabelled)
    if isinstance(label, (date, np.datetime64)) and isinstance(unlabelled, (date, np.datetime64)):
        return bool(label == unlabelled) or bool(_instant(label) == _instant(unlabelled) is not None)
    return bool(label == unlabelled) or (isinstance(label, str) and label == _text(unlabelled))


def _encoded(unlabelled: Any) -> bytes:
    """Return the mark as it stands among labels of bytes."""
    return unlabelled if isinstance(unlabelled, bytes) else _text(unlabelled).encode()


def _instant(value: Any) -> np.datetime64 | None:
    """Return a date, or a date and time without a zone, of any type, as NumPy's; None if it is none."""
    if isinstance(value, np.datetime64):
        return value
    if not isinstance(value, (date, str)) or getattr(value, "tzinfo", None) is not None:
        return None
    try:
        return np.datetime64(value)
    except ValueError:  # other text
        return None


def _text(unlabelled: Any) -> str:
    """Return the mark as it stands among labels of text: "-1" for -1.0 too."""
    if isinstance(unlabelled, bytes):
        return unlabelled.decode(errors="replace")
    if isinstance(unlabelled, (float, np.floating)) and float(unlabelled).is_integer():
        return str(int(unlabelled))
    return str(unlabelled)
