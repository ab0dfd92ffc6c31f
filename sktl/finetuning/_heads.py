"""Linear heads solved on codes, by scikit-learn, folded with the codes' standardisation into one linear layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

C_ALONE = 1.0
C_AS_A_START = 1e-3  # a head that fits to the end leaves no gradient for the layers below (Ren et al., ICLR 2023)
RIDGES = np.logspace(-1, 5, 13)
MAX_ITER = 1000
ABSENT = 10.0  # logits below the lowest intercept


class LinearHead(NamedTuple):
    """Outputs = codes @ weight.T + bias."""

    weight: np.ndarray  # (n_outputs, n_codes), float64
    bias: np.ndarray  # (n_outputs,)
    n_iter: int


def penalty_of(C: float | str, is_start: bool) -> float:
    """Return what C means for a head that stands alone, or that training starts from."""
    return (C_AS_A_START if is_start else C_ALONE) if isinstance(C, str) else float(C)


def solve_classifier(
    codes: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None, C: float, n_classes: int
) -> LinearHead:
    """Return the head of multinomial logistic regression on standardised codes; `target` holds 0, 1, ...

    A class that no example has gets a constant logit below all others.
    """
    codes = np.asarray(codes, dtype=np.float64)
    scaler = StandardScaler().fit(codes, sample_weight=sample_weight)
    model = LogisticRegression(C=C, max_iter=MAX_ITER)
    model.fit(scaler.transform(codes), target, sample_weight=sample_weight)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # two classes: one row of logits z stands for (-z/2, z/2), whose softmax is the same
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    if len(weight) < n_classes:
        all_weight, all_bias = np.zeros((n_classes, weight.shape[1])), np.full(n_classes, bias.min() - ABSENT)
        all_weight[model.classes_], all_bias[model.classes_] = weight, bias
        weight, bias = all_weight, all_bias
    return _folded(weight, bias, scaler, int(np.max(model.n_iter_)))


def solve_regressor(
    codes: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None, alpha: float | str
) -> LinearHead:
    """Return the head of ridge regression on standardised codes, its strength "auto" by leave-one-out errors."""
    codes = np.asarray(codes, dtype=np.float64)
    scaler = StandardScaler().fit(codes, sample_weight=sample_weight)
    model = RidgeCV(RIDGES) if alpha == "auto" else Ridge(alpha)
    model.fit(scaler.transform(codes), target, sample_weight=sample_weight)
    return _folded(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), scaler, 1)


def _folded(weight: np.ndarray, bias: np.ndarray, scaler: StandardScaler, n_iter: int) -> LinearHead:
    # w ((x - m) / s) + b = (w / s) x + (b - (w / s) m)
    weight = weight / scaler.scale_
    return LinearHead(weight, bias - weight @ scaler.mean_, n_iter)
