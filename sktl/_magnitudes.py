"""Finite numbers that computing makes infinite: found where they come in, or where no finite answer goes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from sktl._validation import shorten

# Squares of larger numbers, and sums of many of them, are beyond what the type holds.
LARGEST_FLOAT32 = 1e18
LARGEST_FLOAT64 = 1e150
LEAST_POWER = -1000  # of two, whose inverse is finite


def check_magnitude(rows: Any, largest: float = LARGEST_FLOAT32, name: str = "X") -> None:
    """Raise a ValueError where a number is too large to be squared and summed."""
    values = rows.data if hasattr(rows, "nnz") else rows
    if not values.size:
        return
    found = max(float(values.max()), -float(values.min()))
    if found > largest:
        raise ValueError(
            f"{name} holds numbers as large as {found:.3g}; up to {largest:g} can be computed with here. Scale the "
            "rows: divide by the largest, or look for values that stand for missing ones."
        )


def check_not_vanishing(*tables: Any, name: str = "X") -> None:
    """Raise a ValueError where all numbers are so small that squares of them are 0, and so are all distances."""
    found = max((float(abs(rows).max()) for rows in tables if 0 not in rows.shape), default=0.0)
    if 0 < found < 1 / LARGEST_FLOAT64:
        raise ValueError(
            f"All numbers in {name} are small, {found:.3g} at most: their squares are beyond what can be computed with "
            "here. Scale the rows: divide by the largest."
        )


def standardiser(rows: np.ndarray, sample_weight: np.ndarray | None = None, name: str = "X") -> StandardScaler:
    """Return a fitted StandardScaler.

    Raises
    ------
    ValueError
        If the variance of a column is no finite number.
    """
    check_magnitude(rows, LARGEST_FLOAT64 if rows.dtype == np.float64 else LARGEST_FLOAT32, name)
    return fitted_scaler(StandardScaler(), rows, sample_weight)


def fitted_scaler(blank: StandardScaler, rows: Any, sample_weight: np.ndarray | None = None) -> StandardScaler:
    """Return a StandardScaler that is fitted, and scales columns whose squares vanish, too."""
    scaler = clone(blank).fit(rows, sample_weight=sample_weight)
    if scaler.scale_ is not None:
        tiny = vanishing(rows, scaler.var_)
        scaler.scale_[tiny] = at_larger_scale(
            rows[:, tiny], lambda part: clone(blank).fit(part, sample_weight=sample_weight).scale_
        )
    return scaler


def vanishing(rows: Any, variances: np.ndarray) -> np.ndarray:
    """Return which columns vary though their squares are too small for the type, (n_columns,); NaN is no number."""
    small = variances < np.finfo(rows.dtype if rows.dtype.kind == "f" else float).tiny
    if small.any():
        part = rows[:, small]
        if sparse.issparse(part):
            small[small] = (part.max(axis=0) - part.min(axis=0)).toarray().ravel() > 0
        else:
            small[small] = np.fmax.reduce(part, axis=0) > np.fmin.reduce(part, axis=0)
    return small


def at_larger_scale(columns: Any, measure: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Return deviations, (n_columns,), measured after division by powers of two, which changes no digit."""
    if not columns.shape[1]:
        return np.empty(0)
    if sparse.issparse(columns):
        powers = np.maximum(np.frexp(abs(columns).max(axis=0).toarray().ravel())[1], LEAST_POWER)
        return np.ldexp(measure(columns @ sparse.diags(np.ldexp(1.0, -powers)).tocsr()), powers)
    powers = np.frexp(np.fmax.reduce(np.abs(columns), axis=0))[1]
    return np.ldexp(measure(np.ldexp(columns, -powers)), powers)


def length_scaler(rows: Any, sample_weight: np.ndarray | None = None) -> StandardScaler:
    """Return a scaler of sparse rows without means, which brings their mean squared value to 1.

    Columns keep their proportions: rare words do not become the loudest.
    """
    largest = float(abs(rows).max()) if rows.nnz else 0.0
    unit = largest if 0 < largest < 1 / LARGEST_FLOAT64 else 1.0  # whose square does not vanish
    rows = rows / unit
    squares = np.asarray(rows.multiply(rows).sum(axis=1)).ravel() / rows.shape[1]
    mean = float(np.average(squares, weights=sample_weight)) or 1.0
    scaler = StandardScaler()
    scaler.mean_ = np.zeros(rows.shape[1])
    scaler.var_ = np.full(rows.shape[1], mean * unit**2)
    scaler.scale_ = np.full(rows.shape[1], np.sqrt(mean) * unit)
    scaler.n_samples_seen_, scaler.n_features_in_ = rows.shape[0], rows.shape[1]
    return scaler


def scaled(rows: Any, scaler: StandardScaler) -> Any:
    """Return scaled rows, which stay sparse where no means are taken away."""
    if not sparse.issparse(rows):
        return scaler.transform(rows)
    if scaler.mean_.any():
        return scaler.transform(rows.toarray())
    return rows.multiply(1 / scaler.scale_).tocsr().astype(rows.dtype)


def check_finite(answers: Any, estimator: Any) -> Any:
    """Return the answers for rows, (n,) or (n, n_outputs).

    Raises
    ------
    ValueError
        If some of them are not finite.
    """
    answers = np.asarray(answers)
    good = np.isfinite(answers)
    if good.all():
        return answers
    bad = np.flatnonzero(~good.reshape(len(answers), -1).all(axis=1)).tolist()
    raise ValueError(
        f"{type(estimator).__name__} has no finite answer for {len(bad)} rows: {shorten(bad)}. Their numbers are too "
        "large to be computed with, or far from those in fit. Scale the rows as in fit, or leave these out."
    )
