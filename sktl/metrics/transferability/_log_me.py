"""How probable labels are under a linear model of the codes, all weights considered."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from sktl._columns import target_values
from sktl.metrics.transferability._labelled_codes import labelled_codes, matrix

MOST_STEPS = 100
TOLERANCE = 1e-4  # of the logarithm of alpha / beta
LEAST = 1e-12  # precisions lie between it and its inverse: where codes tell nothing, or all, they have no limit


def log_me(codes: Any, y: Any, *, is_regression: bool = False) -> float:
    """Return the logarithm of maximum evidence of labels given codes, an entry of y, a row [1]_.

    Labels are one-hot columns, each a linear function of the codes plus Gaussian noise. Weights are integrated out; the
    precisions of weights and noise are those of the greatest evidence, found by fixed-point iteration [2]_. There is
    no intercept, as in the paper.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows.
    y : array-like of shape (n,), or (n, n_outputs) for a regression
        Labels of any type, or values.
    is_regression : bool, default=False
        Whether y holds values rather than labels.

    Returns
    -------
    float
        Higher is better. Values are compared between codes of the same rows and labels only.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them, or labels are of one class.

    References
    ----------
    .. [1] K. You, Y. Liu, J. Wang and M. Long, "LogME: practical assessment of pre-trained models for transfer
       learning", ICML, 2021.
    .. [2] K. You, Y. Liu, Z. Zhang, J. Wang, M. I. Jordan and M. Long, "Ranking and tuning pre-trained models: a new
       paradigm for exploiting model hubs", JMLR 23, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.transferability import log_me
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> telling = rng.normal(size=(100, 8)) + 3 * y[:, None]
    >>> bool(log_me(telling, y) > log_me(rng.normal(size=(100, 8)), y))
    True
    """
    if is_regression:
        rows = matrix(codes, "codes")
        targets = target_values(y, len(rows), "log_me")
        targets = targets[:, None] if targets.ndim == 1 else targets
    else:
        labelled = labelled_codes(codes, y, "log_me")
        rows, targets = labelled.codes, labelled.one_hot()
    left, singular, _ = linalg.svd(rows, full_matrices=False)
    # coordinates of the targets along the codes, and the squared length of what no weights can reach
    along = (left.T @ targets) ** 2  # (rank, n_targets)
    apart = np.maximum((targets**2).sum(axis=0) - along.sum(axis=0), 0.0)
    evidence = [_log_evidence(singular**2, along[:, i], apart[i], *rows.shape) for i in range(targets.shape[1])]
    return float(np.mean(evidence) / len(rows))


def _log_evidence(variances: np.ndarray, along: np.ndarray, apart: float, n: int, n_codes: int) -> float:
    """Return max over alpha, beta of log p(y | F, alpha, beta), with weights ~ N(0, 1/alpha) and noise ~ N(0, 1/beta).

    variances are squared singular values of F, along the squared coordinates of y in its left basis.
    """
    total = along.sum() + apart
    if total == 0:  # all-zero values: infinitely probable
        return np.inf
    floor = LEAST * total  # of the residual: the evidence of a perfect fit has no maximum
    alpha = beta = 1.0
    for _ in range(MOST_STEPS):
        ratio = alpha / beta
        # gamma = sum_i s_i^2 / (s_i^2 + alpha / beta): directions that the data decide
        gamma = (variances / (variances + ratio)).sum()
        weights = (variances * along / (variances + ratio) ** 2).sum()  # |m|^2
        residual = (along * (ratio / (variances + ratio)) ** 2).sum() + apart  # |F m - y|^2
        alpha = np.clip(gamma / max(weights, LEAST), LEAST, 1 / LEAST)
        beta = np.clip((n - gamma) / max(residual, floor), LEAST, 1 / LEAST)
        if abs(np.log(alpha / beta) - np.log(ratio)) < TOLERANCE:
            break
    ratio = alpha / beta
    weights = (variances * along / (variances + ratio) ** 2).sum()
    residual = (along * (ratio / (variances + ratio)) ** 2).sum() + apart
    # log p = n/2 log(beta / 2 pi) + d/2 log alpha - 1/2 log det(alpha I + beta F'F) - beta/2 |Fm - y|^2 - alpha/2 |m|^2
    log_det = n_codes * np.log(alpha) + np.log1p(variances / ratio).sum()
    fit = -beta / 2 * residual - alpha / 2 * weights
    return float(n / 2 * np.log(beta / (2 * np.pi)) + n_codes / 2 * np.log(alpha) - log_det / 2 + fit)
