"""How feature rows are brought to a scale in front of a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from sktl._logistic import distinct, held_out_losses, is_gain, looked_at
from sktl._magnitudes import standardiser, vanishing

CHOOSES_FROM = 4  # rows a class, from which on rows held out choose
OTHER_UNITS = 10.0  # times the middle column's deviation: a column with more may have a unit of its own
LOUD_COLUMNS = (
    10  # that hold all variance, at most, where that is so: of a network's few active units some are loud too
)


def column_scaler(rows: np.ndarray, weight: np.ndarray | None, target: Any = None) -> StandardScaler:
    """Return a scaler by each column's own deviation."""
    del target
    return standardiser(rows, None if weight is None else weight / weight.max())


def common_scaler(rows: np.ndarray, weight: np.ndarray | None) -> StandardScaler:
    """Return a scaler by one deviation, that of all columns together."""
    scaler = column_scaler(rows, weight)
    common = np.sqrt(scaler.var_.mean())
    if vanishing(rows, scaler.var_).any():
        own = np.where(np.ptp(rows, axis=0) > 0, scaler.scale_, 0.0)
        common = own.max() * np.sqrt(np.mean((own / own.max()) ** 2))
    scaler.scale_ = np.full_like(scaler.scale_, common or 1.0)
    return scaler


def chosen_scaler(rows: np.ndarray, weight: np.ndarray | None, target: np.ndarray) -> StandardScaler:
    """Return a scaler by each column's own deviation, or by one of all, whichever tells more of rows held out.

    Columns of a table have units of their own. Those of a network's codes, or of words, have one in common, and few
    rows tell little of each column's deviation. Nor can fewer than four rows a class choose: there it is one deviation,
    unless some columns vary far more than most. Then one deviation has to be ahead by more than noise, too: it takes
    what the other columns tell away. Where more columns than rows vary much, their own deviations have to be ahead by
    twice the noise: by so many columns a few rows are told apart in any case.
    """
    classes, codes = np.unique(target, return_inverse=True)
    if rows.shape[1] < 2 or len(classes) < 2:
        return column_scaler(rows, weight)
    weights = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
    seen, labels, counts = looked_at(*distinct(rows, codes, weights))
    counts /= counts.mean()  # only their ratios count here
    varied = _varied(rows, weight)
    has_other_units = _has_other_units(varied)
    if len(seen) < CHOOSES_FROM * len(classes):
        return (column_scaler if has_other_units else common_scaler)(rows, weight)
    by_column, held_out = held_out_losses(seen, labels, counts, column_scaler)
    gains = by_column - held_out_losses(seen, labels, counts, common_scaler)[0]
    if not len(gains):
        return column_scaler(rows, weight)
    if has_other_units:
        is_common = is_gain(gains, held_out)
    elif _n_loud(varied) > len(seen):
        is_common = not is_gain(-gains, held_out, times=2.0)
    else:
        is_common = np.average(gains, weights=held_out) > 0
    return (common_scaler if is_common else column_scaler)(rows, weight)


def _varied(rows: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the deviations of columns that vary."""
    return column_scaler(rows, weight).scale_[np.ptp(rows, axis=0) > 0]


def _has_other_units(varied: np.ndarray) -> bool:
    if not len(varied) or varied.max() <= OTHER_UNITS * np.median(varied):
        return False
    return _n_loud(varied) < LOUD_COLUMNS


def _n_loud(varied: np.ndarray) -> float:
    """Return how many columns hold the variance, (sum v)^2 / sum v^2 of variances v."""
    if not len(varied):
        return 0.0
    share = np.square(varied / varied.max())
    return float(share.sum() ** 2 / np.square(share).sum())
