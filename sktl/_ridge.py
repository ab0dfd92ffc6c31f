"""The penalty of ridge regression, chosen by leaving out one distinct row at a time."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeCV

SAME = 1e-5  # standardised rows that are nearer than that are one: rounding tells them apart


def chosen_ridge(
    rows: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None, strengths: np.ndarray
) -> tuple[float, float]:
    """Return the strength with the lowest leave-one-out errors, and minus their weighted mean.

    Parameters
    ----------
    rows : array of shape (n, n_columns)
        Standardised.
    target : array of shape (n,) or (n, n_outputs)
    sample_weight : array of shape (n,) or None
        A row of weight 2 is the same as a row that stands there twice.
    strengths : array
        To choose from, for each unit of the rows' total weight.
    """
    weight = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    rows, means, total = distinct_rows(rows, np.asarray(target, dtype=np.float64), weight)
    if len(rows) < 2:
        return float(total.sum()), 0.0
    # min over alpha of sum_g w_g ||y_g - f_{-g}(x_g)||^2, for the spread of y within g is the same for all
    fitted = RidgeCV(strengths * total.sum()).fit(rows, means, sample_weight=total)
    return float(fitted.alpha_), float(fitted.best_score_) / float(total.mean())


def distinct_rows(
    rows: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows that differ, each with the weighted mean of its targets and the sum of its weights."""
    # Rows that are alike lie side by side on any line.
    along = rows @ np.random.default_rng(0).normal(size=rows.shape[1])
    order = np.argsort(along, kind="stable")
    rows, target, weight = rows[order], target[order], weight[order]
    first = [0]
    for i in range(1, len(rows)):
        if np.abs(rows[i] - rows[first[-1]]).max() > SAME:
            first.append(i)
    total = np.add.reduceat(weight, first)
    columns = (-1,) + (1,) * (target.ndim - 1)
    sums = np.add.reduceat(target * weight.reshape(columns), first, axis=0)
    return rows[first], sums / total.reshape(columns), total
