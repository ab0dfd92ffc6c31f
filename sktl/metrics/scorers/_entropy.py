"""Certainty of the target's predictions."""

from __future__ import annotations

from typing import Any, ClassVar

from scipy.special import entr

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._outputs import probabilities


class EntropyScorer(DomainScorer):
    """Minus the mean entropy of the target's predictions, in nats [1]_.

    A model that predicts one class for all rows scores best: compare models that keep the classes apart, or use
    `InformationMaximizationScorer`.

    Parameters
    ----------
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    References
    ----------
    .. [1] P. Morerio, J. Cavazza and V. Murino, "Minimal-entropy correlation alignment for unsupervised deep domain
       adaptation", ICLR, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import EntropyScorer
    >>> X = np.array([[-9.0], [9.0], [0.0]])
    >>> model = LogisticRegression(C=1e3).fit(X[:2], [0, 1])
    >>> round(EntropyScorer()(model, X, [0, 1, -1]), 2)  # log 1/2
    -0.69
    """

    _parameter_constraints: ClassVar[dict] = DomainScorer._parameter_constraints

    def __init__(self, *, unlabelled: Any = -1):
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        # -E[-sum_c p_c log p_c]
        return -entr(probabilities(estimator, rows.X_target, type(self).__name__)).sum(axis=1).mean()
