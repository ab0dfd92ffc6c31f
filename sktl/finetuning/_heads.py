"""Linear heads solved on codes; that of a regression is folded with their standardisation into one linear layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from sktl._logistic import distinct, held_out_loss, looked_at, solve_logistic
from sktl._magnitudes import standardiser
from sktl.training import to_largest

RIDGES = np.logspace(-5, 3, 17)  # strengths to choose from, for each unit of the rows' total weight
SAME = 1e-5  # rows of standardised codes that are nearer than that are one: rounding tells them apart
ABSENT = 10.0  # logits below the lowest intercept


class LinearHead(NamedTuple):
    """Outputs = codes @ weight.T + bias."""

    weight: np.ndarray  # (n_outputs, n_codes), float64
    bias: np.ndarray  # (n_outputs,)
    n_iter: int
    penalty: float  # C or alpha, as it was solved with
    n_distinct: int = (
        0  # rows that differ, where training starts from it: a row of weight 2 is one, and so are two alike
    )


def solve_classifier(
    codes: np.ndarray,
    target: np.ndarray,
    sample_weight: np.ndarray | None,
    C: float | str,
    n_classes: int,
) -> LinearHead:
    """Return the head of multinomial logistic regression on codes, as they are; `target` holds 0, 1, ...

    "auto" chooses C by leave-one-out losses. A class that no example has gets a constant logit below all others.
    """
    classes, present = np.unique(target, return_inverse=True)
    solution = solve_logistic(np.asarray(codes, dtype=np.float64), present, sample_weight, C)
    weight, bias = solution.weight, solution.bias
    if len(weight) == 1:  # two classes: one row of logits z stands for (-z/2, z/2), whose softmax is the same
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    if len(weight) < n_classes:
        all_weight, all_bias = np.zeros((n_classes, weight.shape[1])), np.full(n_classes, bias.min() - ABSENT)
        all_weight[classes], all_bias[classes] = weight, bias
        weight, bias = all_weight, all_bias
    return LinearHead(weight, bias, solution.n_iter, solution.C)


def column_scaler(rows: np.ndarray, weight: np.ndarray | None, target: Any = None) -> StandardScaler:
    """Return a scaler by each column's own deviation."""
    del target
    return standardiser(rows, None if weight is None else to_largest(weight))


def common_scaler(rows: np.ndarray, weight: np.ndarray | None) -> StandardScaler:
    """Return a scaler by one deviation, that of all columns together."""
    scaler = column_scaler(rows, weight)
    scaler.scale_ = np.full_like(scaler.scale_, np.sqrt(scaler.var_.mean()) or 1.0)
    return scaler


def chosen_scaler(rows: np.ndarray, weight: np.ndarray | None, target: np.ndarray) -> StandardScaler:
    """Return a scaler by each column's own deviation, or by one of all, whichever tells more of rows held out.

    Columns of a table have units of their own. Those of a network's codes, or of words, have one in common, and few
    rows tell little of each column's deviation.
    """
    classes, codes = np.unique(target, return_inverse=True)
    kind: Any = column_scaler
    if rows.shape[1] > 1 and len(classes) > 1:
        weights = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
        seen, labels, counts = looked_at(*distinct(rows, codes, weights))
        counts /= counts.mean()  # only their ratios count here
        kind = min((column_scaler, common_scaler), key=lambda one: held_out_loss(seen, labels, counts, one))
    return kind(rows, weight)


def solve_regressor(
    codes: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None, alpha: float | str
) -> LinearHead:
    """Return the head of ridge regression on standardised codes, its strength "auto" by leave-one-out errors.

    What is left out at a time is a distinct row of codes with all its repeats: a copy that stays would give it away,
    and the weakest penalty would always look best. So a row of weight 2 is the same as a row that stands there twice,
    and the scale of all weights means nothing.
    """
    codes = np.asarray(codes, dtype=np.float64)
    scaler = _standardisation(codes, sample_weight)
    standard = scaler.transform(codes)
    alpha = _chosen_ridge(standard, target, sample_weight) if isinstance(alpha, str) else float(alpha)
    model = Ridge(alpha)
    model.fit(standard, target, sample_weight=sample_weight)
    return _folded(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), scaler, 1, alpha)


def n_distinct(codes: np.ndarray) -> int:
    """Return how many rows differ."""
    n = len(codes)
    return len(distinct(np.asarray(codes, dtype=np.float64), np.zeros(n, dtype=np.int64), np.ones(n))[0])


def _standardisation(codes: np.ndarray, sample_weight: np.ndarray | None) -> StandardScaler:
    return StandardScaler().fit(codes, sample_weight=None if sample_weight is None else to_largest(sample_weight))


def _chosen_ridge(codes: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None) -> float:
    weight = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    rows, means, total = _distinct(codes, np.asarray(target, dtype=np.float64), weight)
    if len(rows) < 2:
        return float(total.sum())
    # min over alpha of sum_g w_g ||y_g - f_{-g}(x_g)||^2, for the spread of y within g is the same for all
    return float(RidgeCV(RIDGES * total.sum()).fit(rows, means, sample_weight=total).alpha_)


def _distinct(codes: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows that differ, each with the weighted mean of its targets and the sum of its weights."""
    # Rows that are alike lie side by side on any line.
    along = codes @ np.random.default_rng(0).normal(size=codes.shape[1])
    order = np.argsort(along, kind="stable")
    codes, target, weight = codes[order], target[order], weight[order]
    first = [0]
    for i in range(1, len(codes)):
        if np.abs(codes[i] - codes[first[-1]]).max() > SAME:
            first.append(i)
    total = np.add.reduceat(weight, first)
    columns = (-1,) + (1,) * (target.ndim - 1)
    sums = np.add.reduceat(target * weight.reshape(columns), first, axis=0)
    return codes[first], sums / total.reshape(columns), total


def _folded(weight: np.ndarray, bias: np.ndarray, scaler: StandardScaler, n_iter: int, penalty: float) -> LinearHead:
    # w ((x - m) / s) + b = (w / s) x + (b - (w / s) m)
    weight = weight / scaler.scale_
    return LinearHead(weight, bias - weight @ scaler.mean_, n_iter, penalty)
