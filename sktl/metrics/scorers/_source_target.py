"""What the source's labels say of a model, and what its predictions in the target say."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._importance_weighted import weighted_metric
from sktl.metrics.scorers._information import mutual_information
from sktl.metrics.scorers._outputs import probabilities


class SourceTargetScorer(DomainScorer):
    """Importance-weighted accuracy in the source, plus the information of the predictions in the target.

    Each is deceived by models that the other sees through. The information is largest for an adaptation that is
    carried too far, into classes that are certain and wrong, which loses the source's labels that are alike in the
    target. The weighted accuracy is high for a model without adaptation, whose domains share so few rows that the
    weights rest on hardly any; and this model is uncertain in the target. Both terms lie between 0 and 1.

    Parameters
    ----------
    scoring : str or callable(estimator, X, y, sample_weight=), default="accuracy"
        Metric of the labelled rows, best between 0 and 1, as in `ImportanceWeightedScorer`.
    weight : float, default=1.0
        Of the target's term.
    C : float or "auto", default="auto"
        Inverse regularisation of the classifier that tells the domains apart, as in `density_ratio`.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.
    random_state : int, default=0
        Fixes the folds in which the weights are estimated.

    See Also
    --------
    ImportanceWeightedScorer : The first term.
    InformationMaximizationScorer : The second one, as a share of log(n_classes) here.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import SourceTargetScorer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> X[100:] += 0.5
    >>> y = (X[:, 0] > 0).astype(int)
    >>> good = LogisticRegression(C=10.0).fit(X[:100], y[:100])
    >>> poor = LogisticRegression(C=0.01).fit(X[:100], X[:100, 1] > 0)
    >>> y[100:] = -1
    >>> scorer = SourceTargetScorer()
    >>> scorer(good, X, y) > scorer(poor, X, y)
    True
    """

    needs_labelled: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        **DomainScorer._parameter_constraints,
        "scoring": [str, callable],
        "weight": [Interval(Real, 0, None, closed="left")],
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        scoring: str | Callable = "accuracy",
        *,
        weight: float = 1.0,
        C: float | str = "auto",
        unlabelled: Any = -1,
        random_state: int = 0,
    ):
        self.scoring = scoring
        self.weight = weight
        self.C = C
        self.unlabelled = unlabelled
        self.random_state = random_state

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        name = type(self).__name__
        proba = probabilities(estimator, rows.X_target, name)
        # A_w(source) + weight * I(target) / log(n_classes)
        information = mutual_information(proba) / np.log(max(2, proba.shape[1]))
        in_source = weighted_metric(estimator, rows, self.scoring, self.C, self.random_state, name)
        return in_source + float(self.weight) * information
