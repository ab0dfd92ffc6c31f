"""Importance-weighted cross-validation (IWCV)."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._codes import codes
from sktl.density_ratios import density_ratio
from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer, metric_of


def density_ratio_of(estimator: Any, rows: DomainRows, C: float | str, random_state: int, scorer: str) -> np.ndarray:
    """Return the density ratio of the labelled rows in the estimator's codes, estimated once for the same rows."""
    key = "density ratio", C, random_state
    if key not in rows.kept:
        source, target = codes(estimator, rows.X_labelled, scorer), codes(estimator, rows.X_target, scorer)
        rows.kept[key] = density_ratio(source, target, C=C, random_state=random_state)
    return rows.kept[key].copy()


def weighted_metric(
    estimator: Any, rows: DomainRows, scoring: str | Callable, C: float | str, random_state: int, scorer: str
) -> float:
    """Return the metric of the labelled rows, weighted by their density ratio in the estimator's codes."""
    weights = density_ratio_of(estimator, rows, C, random_state, scorer)
    return metric_of(scoring, estimator, rows.X_labelled, rows.y, sample_weight=weights)


class ImportanceWeightedScorer(DomainScorer):
    """Any metric on the labelled rows, each weighted by how much more frequent its like is in the target [1]_.

    The weights are ratios of densities in the space of the estimator's codes (see `density_ratio`). They count as
    sample weights, so that a mean is divided by their sum: less unsteady than the plain estimate of the paper, at the
    price of a small bias. Rows that the estimator was trained on make it blind to overfitting; score held-out ones.

    Parameters
    ----------
    scoring : str or callable(estimator, X, y, sample_weight=), default="accuracy"
        A name of `sklearn.metrics.get_scorer_names`, or a scorer that takes weights.
    C : float or "auto", default="auto"
        Inverse regularisation of the classifier that tells the domains apart, as in `density_ratio`.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.
    random_state : int, default=0
        Fixes the folds in which the ratios are estimated.

    References
    ----------
    .. [1] M. Sugiyama, M. Krauledat and K.-R. Müller, "Covariate shift adaptation by importance weighted cross
       validation", JMLR, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import ImportanceWeightedScorer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> X[100:] += 0.5
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> y[100:] = -1
    >>> 0.9 < ImportanceWeightedScorer()(model, X, y) <= 1.0
    True
    """

    needs_labelled: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        **DomainScorer._parameter_constraints,
        "scoring": [str, callable],
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        scoring: str | Callable = "accuracy",
        *,
        C: float | str = "auto",
        unlabelled: Any = -1,
        random_state: int = 0,
    ):
        self.scoring = scoring
        self.C = C
        self.unlabelled = unlabelled
        self.random_state = random_state

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        return weighted_metric(estimator, rows, self.scoring, self.C, self.random_state, type(self).__name__)
