"""How feature rows are brought to a scale in front of a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from sktl._logistic import distinct, held_out_loss, looked_at
from sktl._magnitudes import standardiser

CHOOSES_FROM = 4  # rows a class, from which on rows held out choose
OTHER_UNITS = 10.0  # times the middle column's deviation: a column with more has a unit of its own


def column_scaler(rows: np.ndarray, weight: np.ndarray | None, target: Any = None) -> StandardScaler:
    """Return a scaler by each column's own deviation."""
    del target
    return standardiser(rows, None if weight is None else weight / weight.max())


def common_scaler(rows: np.ndarray, weight: np.ndarray | None) -> StandardScaler:
    """Return a scaler by one deviation, that of all columns together."""
    scaler = column_scaler(rows, weight)
    scaler.scale_ = np.full_like(scaler.scale_, np.sqrt(scaler.var_.mean()) or 1.0)
    return scaler


def chosen_scaler(rows: np.ndarray, weight: np.ndarray | None, target: np.ndarray) -> StandardScaler:
    """Return a scaler by each column's own deviation, or by one of all, whichever tells more of rows held out.

    Columns of a table have units of their own. Those of a network's codes, or of words, have one in common, and few
    rows tell little of each column's deviation. Nor can fewer than four rows a class choose: there it is one deviation,
    unless a column varies far more than most.
    """
    classes, codes = np.unique(target, return_inverse=True)
    kind: Any = column_scaler
    if rows.shape[1] > 1 and len(classes) > 1:
        weights = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
        seen, labels, counts = looked_at(*distinct(rows, codes, weights))
        counts /= counts.mean()  # only their ratios count here
        if len(seen) < CHOOSES_FROM * len(classes):
            return (column_scaler if _has_other_units(rows, weight) else common_scaler)(rows, weight)
        kind = min((column_scaler, common_scaler), key=lambda one: held_out_loss(seen, labels, counts, one))
    return kind(rows, weight)


def _has_other_units(rows: np.ndarray, weight: np.ndarray | None) -> bool:
    deviation = column_scaler(rows, weight).scale_
    varied = deviation[np.ptp(rows, axis=0) > 0]
    return bool(len(varied)) and bool(varied.max() > OTHER_UNITS * np.median(varied))
