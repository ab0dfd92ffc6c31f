"""Linear heads solved on codes; that of a regression is folded with their standardisation into one linear layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sktl._logistic import distinct, solve_logistic
from sktl._magnitudes import fitted_scaler
from sktl._ridge import chosen_ridge
from sktl.training import to_largest

RIDGES = np.logspace(-5, 3, 17)  # strengths to choose from, for each unit of the rows' total weight
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
    error: float = float("nan")  # share of rows that is wrong when left out, where the penalty was chosen by that


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
    return LinearHead(weight, bias, solution.n_iter, solution.C, error=solution.error)


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
    alpha = chosen_ridge(standard, target, sample_weight, RIDGES)[0] if isinstance(alpha, str) else float(alpha)
    model = Ridge(alpha)
    model.fit(standard, target, sample_weight=sample_weight)
    return _folded(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), scaler, 1, alpha)


def n_distinct(codes: np.ndarray) -> int:
    """Return how many rows differ."""
    n = len(codes)
    return len(distinct(np.asarray(codes, dtype=np.float64), np.zeros(n, dtype=np.int64), np.ones(n))[0])


def _standardisation(codes: np.ndarray, sample_weight: np.ndarray | None) -> StandardScaler:
    return fitted_scaler(StandardScaler(), codes, None if sample_weight is None else to_largest(sample_weight))


def _folded(weight: np.ndarray, bias: np.ndarray, scaler: StandardScaler, n_iter: int, penalty: float) -> LinearHead:
    # w ((x - m) / s) + b = (w / s) x + (b - (w / s) m)
    weight = weight / scaler.scale_
    return LinearHead(weight, bias - weight @ scaler.mean_, n_iter, penalty)
