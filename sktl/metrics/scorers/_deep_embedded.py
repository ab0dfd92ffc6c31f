"""Deep embedded validation (DEV)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._array_api import column_or_1d
from sktl._columns import check_length
from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._importance_weighted import density_ratio_of
from sktl.metrics.scorers._outputs import probabilities


def deep_embedded_risk(losses: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted risk, with the weights as a control variate: their true mean is known to be 1.

    Parameters
    ----------
    losses, weights : ndarray of shape (n,)
        Loss of each labelled row, and ratio of the target's density over the source's.

    Returns
    -------
    float
        Estimated risk in the target; it may be below 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics import deep_embedded_risk
    >>> round(deep_embedded_risk(np.array([0.2, 0.4, 0.9]), np.array([0.5, 1.0, 1.5])), 2)  # the plain mean is 0.5
    0.62
    """
    losses, weights = (column_or_1d(values, input_name=n) for n, values in (("losses", losses), ("weights", weights)))
    check_length(weights, len(losses), "weights")
    # R = mean(w l) + eta mean(w) - eta,   eta = -Cov(w l, w) / Var(w)
    weighted = weights * losses
    variance = weights.var()
    eta = 0.0 if variance == 0 else -np.mean((weighted - weighted.mean()) * (weights - weights.mean())) / variance
    return float(weighted.mean() + eta * weights.mean() - eta)


class DeepEmbeddedValidationScorer(DomainScorer):
    """Minus the target's risk as deep embedded validation estimates it from labelled rows [1]_.

    It weights the loss as `ImportanceWeightedScorer` does, and takes out what of the estimate's variance goes with the
    weights. Score rows that the estimator was not trained on. It departs from the paper in two things: a row's weight
    comes from a fold that has not seen it, and the domains are told apart by a logistic regression.

    Parameters
    ----------
    loss : {"zero_one", "log_loss"}, default="zero_one"
        Loss of a labelled row: whether the predicted label is wrong, or minus the log of the right one's probability.
    C : float or "auto", default="auto"
        Inverse regularisation of the classifier that tells the domains apart, as in `density_ratio`.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.
    random_state : int, default=0
        Fixes the folds in which the ratios are estimated.

    References
    ----------
    .. [1] K. You, X. Wang, M. Long and M. Jordan, "Towards accurate model selection in deep unsupervised domain
       adaptation", ICML, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import DeepEmbeddedValidationScorer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> X[100:] += 0.5
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> y[100:] = -1
    >>> abs(DeepEmbeddedValidationScorer()(model, X, y)) < 0.1
    True
    """

    needs_labelled: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        **DomainScorer._parameter_constraints,
        "loss": [StrOptions({"zero_one", "log_loss"})],
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, loss: str = "zero_one", *, C: float | str = "auto", unlabelled: Any = -1, random_state: int = 0):
        self.loss = loss
        self.C = C
        self.unlabelled = unlabelled
        self.random_state = random_state

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        weights = density_ratio_of(estimator, rows, self.C, self.random_state, type(self).__name__)
        return -deep_embedded_risk(self._losses(estimator, rows), weights)

    def _losses(self, estimator: Any, rows: DomainRows) -> np.ndarray:
        if self.loss == "zero_one":
            return (np.asarray(estimator.predict(rows.X_labelled)) != rows.y).astype(np.float64)
        proba = probabilities(estimator, rows.X_labelled, type(self).__name__)
        column = {label: number for number, label in enumerate(np.asarray(estimator.classes_).tolist())}
        known = np.array([column.get(label, -1) for label in rows.y.tolist()])
        right = np.where(known >= 0, proba[np.arange(len(known)), known], 0.0)  # a class that it does not know
        return -np.log(right.clip(np.finfo(np.float64).tiny))
