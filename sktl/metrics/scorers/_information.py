"""How much the target's predictions say."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import entr

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._outputs import as_probabilities, probabilities


def mutual_information(proba: np.ndarray) -> float:
    """Return the mutual information of rows and predicted classes, in nats.

    Parameters
    ----------
    proba : ndarray of shape (n, n_classes)
        Probabilities.

    Returns
    -------
    float
        Between 0 and log(n_classes).

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics import mutual_information
    >>> round(mutual_information(np.eye(2)), 3)  # certain of each row, and of both classes: log(2)
    0.693
    """
    proba = as_probabilities(proba)
    # I = H(mean_i p_i) - mean_i H(p_i)
    return float(entr(proba.mean(axis=0)).sum() - entr(proba).sum(axis=1).mean())


class InformationMaximizationScorer(DomainScorer):
    """The mutual information of target rows and their predicted classes: certain each, diverse together [1]_.

    Parameters
    ----------
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    References
    ----------
    .. [1] K. Musgrave, S. Belongie and S.-N. Lim, "Three new validators and a large-scale benchmark ranking for
       unsupervised domain adaptation", arXiv:2208.07360, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import InformationMaximizationScorer
    >>> X = np.array([[-9.0], [9.0], [-9.0], [9.0]])
    >>> model = LogisticRegression(C=1e3).fit(X, [0, 1, 0, 1])
    >>> round(InformationMaximizationScorer()(model, X, [0, 1, -1, -1]), 2)  # log 2
    0.69
    """

    _parameter_constraints: ClassVar[dict] = DomainScorer._parameter_constraints

    def __init__(self, *, unlabelled: Any = -1):
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        return mutual_information(probabilities(estimator, rows.X_target, type(self).__name__))
