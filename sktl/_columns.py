"""What comes with the rows, one entry each: labels, values, weights, domains. One reading for the whole library."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.metrics import accuracy_score
from sklearn.utils import validation
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from sktl._array_api import check_array, column_or_1d, n_rows, on_host
from sktl._unlabelled import as_labels, in_microseconds, is_labelled, is_missing, known_labels, numbers_of
from sktl._validation import shorten


def marked_labels(
    y: Any, n: int, unlabelled: Any, name: str, *, what: str = "the source rows", missing_only: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and marks as they come, one of each row, and which of the rows have a label.

    Parameters
    ----------
    y : array-like of shape (n,) or None
        As `fit` of the estimator `name` was given it.
    n : int
        How many rows X has.
    unlabelled : scalar or None
        The mark; missing values mark rows too.
    name : str
        Of the estimator, for errors.
    what : str
        Which rows need labels, for errors.
    missing_only : bool
        Whether missing values alone mark a row, as among a regressor's targets.

    Raises
    ------
    ValueError
        If there is no y, if it is not of n rows, or if no row has a label.
    """
    if y is None:
        raise ValueError(
            f"This {name} requires y to be passed, but the target y is None. Mark unlabelled rows with {unlabelled!r}."
        )
    labels = as_labels(y)
    check_length(labels, n, "y")
    rows = ~is_missing(labels) if missing_only else is_labelled(labels, unlabelled)
    if not rows.any():
        raise ValueError(
            f"y holds no label: all {len(labels)} rows are {unlabelled!r} or missing, which means unlabelled. Give "
            f"labels of {what}."
        )
    return labels, rows


def check_length(values: Any, n_expected: int, name: str) -> None:
    """Raise a ValueError unless there is one entry a row."""
    n_found = n_rows(values, name)
    if n_found != n_expected:
        raise ValueError(f"{name} must have one entry a row: expected {n_expected}, got {n_found}.")


def class_labels(y: Any, n_expected: int | None, estimator: Any) -> np.ndarray:
    """Return the labels of a classifier, (n,): none is missing, and they can be sorted.

    Parameters
    ----------
    y : array-like of shape (n,)
        What the user gave.
    n_expected : int or None
        Rows of X, where they are known.
    estimator : object or str
        That messages name.

    Raises
    ------
    TypeError, ValueError
        If y is missing, in whole or in part, of a wrong length, or holds no classes.
    """
    _require(y, estimator)
    y = plain(as_labels(y))
    if n_expected is not None:
        check_length(y, n_expected, "y")
    missing = np.flatnonzero(is_missing(y))
    if len(missing):
        raise ValueError(
            f"Input y contains NaN or None, in {len(missing)} rows: {shorten(missing.tolist())}. "
            f"{_name(estimator)} learns from labelled rows alone: leave the others out."
        )
    check_classes(y)
    return y


def plain(labels: np.ndarray) -> np.ndarray:
    """Return objects that are all numbers, or all dates, as an array of these, and other labels as they are."""
    return known_labels(labels, np.arange(len(labels)))


def check_classes(labels: np.ndarray) -> None:
    """Raise a ValueError unless labels, none of which is missing, are names of classes that can be sorted."""
    validation.assert_all_finite(labels, input_name="y")
    if labels.dtype.kind == "c":
        raise ValueError("Complex data not supported: y holds complex numbers, which are no names of classes.")
    if labels.dtype.kind == "O" and not all(isinstance(label, str) for label in labels):
        odd = next((label for label in labels if not _is_label(label)), None)
        if odd is not None:
            raise ValueError(
                f"Unknown label type: y holds {shorten([repr(odd)[:40]])} of type {type(odd).__name__}. Labels are "
                "numbers, text or dates, all of one type."
            )
    else:
        check_classification_targets(labels)
    sorted_names(labels, "y")


def accuracy(labels: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the weighted share of rows whose predicted label, (n,), is theirs, (n,): dates with a zone too.

    Raises
    ------
    ValueError
        If labels and predictions are of types that cannot be compared.
    """
    both = labels, predicted
    if any(part.dtype.kind == "O" and not all(isinstance(label, str) for label in part) for part in both):
        numbers = sorted_names(np.concatenate([labels.astype(object), predicted.astype(object)]), "y")[1]
        labels, predicted = numbers[: len(labels)], numbers[len(labels) :]
    return float(accuracy_score(labels, predicted, sample_weight=weight))


def looks_continuous(y: Any) -> bool:
    """Whether y holds values rather than labels: numbers that are not all whole."""
    y = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")
    with sklearn.config_context(array_api_dispatch=False):
        y = plain(y) if y.ndim == 1 else y
        return str(type_of_target(y, input_name="y")).startswith("continuous")


def target_values(y: Any, n_expected: int | None, estimator: Any) -> np.ndarray:
    """Return the values of a regression, float64 of shape (n,) or (n, n_outputs)."""
    _require(y, estimator)
    y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", estimator=_name(estimator))
    if y.dtype.kind in "mM":
        raise ValueError("y holds dates or time differences; a regression learns numbers. Convert them, to days say.")
    if n_expected is not None:
        check_length(y, n_expected, "y")
    y = np.ascontiguousarray(y, dtype=np.float64)
    if np.isnan(y).any():  # None in a list
        raise ValueError("Input y contains NaN. Leave rows without a value out.")
    return y


def row_weights(sample_weight: Any, n_expected: int) -> np.ndarray:
    """Return float64 weights, (n,): finite, none negative, one above 0; a single number is every row's."""
    weight = on_host(sample_weight, "sample_weight")
    if getattr(getattr(weight, "dtype", None), "kind", None) in ("m", "M"):
        raise TypeError("sample_weight holds dates or time differences; weights are numbers.")
    if isinstance(weight, (np.ndarray, np.generic)) and weight.ndim == 0:
        weight = weight.item()
    if not isinstance(weight, (int, float)):
        weight = check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        if weight.ndim == 1:
            check_length(weight, n_expected, "sample_weight")
    elif not np.isfinite(weight):
        raise ValueError(f"sample_weight must be finite; got {weight!r}.")
    with sklearn.config_context(array_api_dispatch=False):
        weight = validation._check_sample_weight(
            weight, np.empty((n_expected, 1)), dtype=np.float64, ensure_non_negative=True
        )
    if weight.max() > np.finfo(np.float64).max / n_expected:
        raise ValueError(
            f"sample_weight holds {weight.max():g}, and the sum is beyond the largest number. Divide all weights by "
            "the largest one: only their ratios matter in training."
        )
    return weight


def with_weight(labelled: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return which labelled rows are left where a row of weight 0 is as if it were not there."""
    left = labelled & (weight > 0)
    if not left.any():
        raise ValueError("sample_weight is 0 for all labelled rows. Give some of them weight.")
    return left


def domain_column(values: Any, n_expected: int | None, name: str = "sample_domain") -> np.ndarray:
    """Return each row's domain, or group, (n,): numbers, text or dates, none missing.

    Raises
    ------
    TypeError, ValueError
        If there is not one a row.
    """
    what = "group" if name == "groups" else "domain"
    values = on_host(values, name)
    if isinstance(values, (list, tuple)):
        check_length(values, len(values) if n_expected is None else n_expected, name)
        values = as_labels(values, name)
    shape = np.shape(values)
    if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
        raise ValueError(
            f"{name} should be a 1d array, with each row's {what}; got an array of shape {shape}. Choose one column."
        )
    values = in_microseconds(numbers_of(column_or_1d(values, input_name=name, warn=True)))
    if n_expected is not None:
        check_length(values, n_expected, name)
    missing = np.flatnonzero(is_missing(values))
    if len(missing):
        raise ValueError(
            f"{name} is missing (NaN or None) in {len(missing)} rows: {shorten(missing.tolist())}. Every row needs a "
            f"{what}: a number, a date or a string."
        )
    return values


def sorted_names(values: np.ndarray, name: str = "sample_domain") -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted names of classes or domains, and each row's number.

    Raises
    ------
    ValueError
        If names of several types cannot be sorted.
    """
    try:
        return np.unique(values, return_inverse=True)
    except TypeError as error:
        what = {"y": "labels", "groups": "values"}.get(name, "domains")
        raise ValueError(f"The {what} in {name} cannot be sorted: {error}. Use values of one type.") from error


def check_same_columns(source: Any, target: Any) -> None:
    """Raise a ValueError if both are data frames, whose columns have other names or another order."""
    first, second = (validation._get_feature_names(rows) for rows in (source, target))
    if first is None or second is None or np.array_equal(first, second):
        return
    alone = sorted(set(first.tolist()) ^ set(second.tolist()))
    what = f"only one of them has {shorten(map(repr, alone))}" if alone else "they stand in another order"
    raise ValueError(f"source and target have other columns: {what}. Choose the same: target[source.columns].")


def _require(y: Any, estimator: Any) -> None:
    if y is None:
        raise ValueError(f"This {_name(estimator)} requires y to be passed, but the target y is None.")


def _is_label(label: Any) -> bool:
    return isinstance(label, (str, bytes, int, float, np.generic)) or hasattr(label, "isoformat")


def _name(estimator: Any) -> str:
    return estimator if isinstance(estimator, str) else type(estimator).__name__
