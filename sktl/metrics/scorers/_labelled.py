"""Any metric, on labelled rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer, metric_of


class LabelledScorer(DomainScorer):
    """Any of scikit-learn's metrics on the labelled rows; rows marked as unlabelled are left out.

    It says how well the source is learned, and nothing about the target unless some of its rows have labels.

    Parameters
    ----------
    scoring : str or callable(estimator, X, y), default="accuracy"
        A name of `sklearn.metrics.get_scorer_names`, or a scorer.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import LabelledScorer
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = LogisticRegression().fit(X, [0, 0, 1, 1])
    >>> LabelledScorer()(model, X, [0, 0, 1, -1])
    1.0
    """

    needs_labelled: ClassVar[bool] = True
    needs_target: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {**DomainScorer._parameter_constraints, "scoring": [str, callable]}

    def __init__(self, scoring: str | Callable = "accuracy", *, unlabelled: Any = -1):
        self.scoring = scoring
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        return metric_of(self.scoring, estimator, rows.X_labelled, rows.y)
