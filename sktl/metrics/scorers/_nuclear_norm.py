"""Batch nuclear norm (BNM) as a score."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._outputs import as_probabilities, probabilities


def nuclear_norm_share(proba: np.ndarray) -> float:
    """Return the nuclear norm of the predictions, as a share of the largest that a matrix of this shape can have.

    Parameters
    ----------
    proba : ndarray of shape (n, n_classes)
        Probabilities.

    Returns
    -------
    float
        Up to 1, which predictions reach that are certain and spread evenly over the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics import nuclear_norm_share
    >>> round(nuclear_norm_share(np.eye(2)), 3), round(nuclear_norm_share(np.full((2, 2), 0.5)), 3)
    (1.0, 0.5)
    """
    proba = as_probabilities(proba)
    # ||P||_* <= sqrt(rank P) ||P||_F <= sqrt(min(n, c) n)
    values = np.linalg.svd(proba, compute_uv=False)
    return float(values.sum() / np.sqrt(min(proba.shape) * len(proba)))


class BatchNuclearNormScorer(DomainScorer):
    """Nuclear norm of the target's predictions: large if they are certain and of many classes [1]_.

    All target rows are taken as one batch, and the norm is given as a share of its largest value, so that scores of
    different numbers of rows can be compared.

    Parameters
    ----------
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    References
    ----------
    .. [1] S. Cui, S. Wang, J. Zhuo, L. Li, Q. Huang and Q. Tian, "Towards discriminability and diversity: batch
       nuclear-norm maximization under label insufficient situations", CVPR, 2020; as a score in K. Musgrave et al.,
       arXiv:2208.07360, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import BatchNuclearNormScorer
    >>> X = np.array([[-9.0], [9.0], [-9.0], [9.0]])
    >>> model = LogisticRegression(C=1e3).fit(X[:2], [0, 1])
    >>> round(BatchNuclearNormScorer()(model, X, [-1] * 4), 2)
    1.0
    """

    _parameter_constraints: ClassVar[dict] = DomainScorer._parameter_constraints

    def __init__(self, *, unlabelled: Any = -1):
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        return nuclear_norm_share(probabilities(estimator, rows.X_target, type(self).__name__))
