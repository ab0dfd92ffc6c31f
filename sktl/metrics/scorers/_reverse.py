"""Reverse, or circular, validation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.utils._missing import is_scalar_nan
from sklearn.utils._param_validation import HasMethods

from sktl._codes import codes
from sktl._kept_outputs import original
from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer, metric_scorer


class ReverseValidationScorer(DomainScorer):
    """How well the source's labels come back from the labels that the estimator predicts in the target [1]_ [2]_.

    The roles are turned round: a reverse classifier learns from the target rows, with their predicted labels, and is
    scored on the source rows, whose labels it does not see. Where the predictions are wrong, or the classes have been
    matched wrongly, little of the source's labels comes back. Others call it circular validation.

    Parameters
    ----------
    reverse_estimator : classifier or None, default=None
        None takes an unfitted clone of the scored estimator, which adapts from target to source: the papers' way, at
        the cost of another training. Any other classifier is fitted on the scored estimator's codes (see
        `density_ratio`), without adaptation.
    scoring : str or callable(estimator, X, y), default="accuracy"
        Of the reverse classifier on the labelled rows.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    Notes
    -----
    Clones are fitted with the estimator's parameters alone: without ``sample_domain``, several sources are one.

    References
    ----------
    .. [1] E. Zhong, W. Fan, Q. Yang, O. Verscheure and J. Ren, "Cross validation framework to choose amongst models and
       datasets for transfer learning", ECML PKDD, 2010.
    .. [2] L. Bruzzone and M. Marconcini, "Domain adaptation problems: a DASVM classification technique and a circular
       validation strategy", IEEE TPAMI, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import ReverseValidationScorer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> y[100:] = -1
    >>> ReverseValidationScorer(LogisticRegression())(model, X, y) > 0.9
    True
    """

    needs_labelled: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        **DomainScorer._parameter_constraints,
        "reverse_estimator": [HasMethods(["fit", "predict"]), None],
        "scoring": [str, callable],
    }

    def __init__(self, reverse_estimator: Any = None, *, scoring: Any = "accuracy", unlabelled: Any = -1):
        self.reverse_estimator = reverse_estimator
        self.scoring = scoring
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        predicted = np.asarray(estimator.predict(rows.X_target))
        score = metric_scorer(self.scoring)
        if len(np.unique(predicted)) < 2:  # nothing to learn from: all rows are of this class
            constant = DummyClassifier(strategy="most_frequent").fit(rows.X_target, predicted)
            return score(constant, rows.X_labelled, rows.y)
        if self.reverse_estimator is not None:
            name = type(self).__name__
            reverse = clone(self.reverse_estimator).fit(codes(estimator, rows.X_target, name), predicted)
            return score(reverse, codes(estimator, rows.X_labelled, name), rows.y)
        return score(self._reversed(estimator, rows, predicted), rows.X_labelled, rows.y)

    def _reversed(self, estimator: Any, rows: DomainRows, predicted: np.ndarray) -> Any:
        """Return a clone that has adapted from the target, with these labels, to the source, with none."""
        mark = self.unlabelled
        if mark is None or is_scalar_nan(mark):
            mark = None if predicted.dtype.kind in "OUST" else np.nan
        y = np.full(len(rows.labelled) + len(rows.target), mark, dtype=_holding(predicted.dtype, mark))
        y[rows.target] = predicted
        return clone(original(estimator)).fit(rows.X, y)


def _holding(dtype: np.dtype, mark: Any) -> Any:
    """Return a type that holds labels of this type, and the mark."""
    if dtype.kind in "OUSTb" or isinstance(mark, str):
        return object
    return np.result_type(dtype, type(mark))
