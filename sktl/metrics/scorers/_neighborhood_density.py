"""Soft neighbourhood density (SND)."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import entr, softmax
from sklearn.utils._param_validation import Interval

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._outputs import as_probabilities, probabilities

VALUES_AT_ONCE = 2**22  # similarities in memory


def soft_neighborhood_density(proba: np.ndarray, temperature: float = 0.05) -> float:
    """Return how many neighbours a row has among the predictions, as the mean entropy of its similarities, in nats.

    Parameters
    ----------
    proba : ndarray of shape (n, n_classes)
        Probabilities, n at least 2.
    temperature : float, default=0.05
        Of the similarities.

    Returns
    -------
    float
        Between 0 and log(n - 1). It is computed in blocks of rows: memory grows with n, not with its square.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics import soft_neighborhood_density
    >>> round(soft_neighborhood_density(np.repeat(np.eye(2), 3, axis=0)), 3)  # two neighbours each: log(2)
    0.693
    """
    proba = as_probabilities(proba)
    # S_ij = <p_i, p_j> / (|p_i| |p_j|),   q_i = softmax_{j != i}(S_ij / temperature),   mean_i H(q_i)
    units = proba / np.linalg.norm(proba, axis=1, keepdims=True).clip(np.finfo(np.float64).tiny)
    n = len(units)
    n_at_once = max(1, VALUES_AT_ONCE // n)
    total = 0.0
    for start in range(0, n, n_at_once):
        block = units[start : start + n_at_once] @ units.T / temperature  # (n_at_once, n)
        here = np.arange(len(block))
        block[here, start + here] = -np.inf
        total += entr(softmax(block, axis=1)).sum()
    return float(total / n)


class SoftNeighborhoodDensityScorer(DomainScorer):
    """Soft neighbourhood density of the target's predictions: how dense the clusters are that they form [1]_.

    A model that predicts one class for all rows scores best; compare models that keep the classes apart. Scores grow
    with the number of rows; compare them on the same ones.

    Parameters
    ----------
    temperature : float, default=0.05
        Of the similarities, the paper's value.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    References
    ----------
    .. [1] K. Saito, D. Kim, P. Teterwak, S. Sclaroff, T. Darrell and K. Saenko, "Tune it the right way: unsupervised
       validation of domain adaptation via soft neighborhood density", ICCV, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import SoftNeighborhoodDensityScorer
    >>> X = np.array([[-9.0], [9.0], [-9.0], [9.0], [-9.0], [9.0]])
    >>> model = LogisticRegression(C=1e3).fit(X[:2], [0, 1])
    >>> round(SoftNeighborhoodDensityScorer()(model, X, [-1] * 6), 2)  # two neighbours each: log 2
    0.69
    """

    _parameter_constraints: ClassVar[dict] = {
        **DomainScorer._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, *, temperature: float = 0.05, unlabelled: Any = -1):
        self.temperature = temperature
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        name = type(self).__name__
        if len(rows.target) < 2:
            raise ValueError(f"{name} compares target rows with each other and needs at least 2; got 1.")
        return soft_neighborhood_density(probabilities(estimator, rows.X_target, name), self.temperature)
