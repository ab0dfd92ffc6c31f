"""The score that no one can have: by the target's true labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.metadata_routing import UNUSED

from sktl._array_api import n_rows
from sktl._columns import plain
from sktl._unlabelled import as_labels, is_labelled, known_labels
from sktl.metrics.scorers._domain_scorer import DomainScorer, metric_scorer


class CheatingOracleScorer(DomainScorer):
    """Any metric on the unlabelled rows, by their true labels: an upper bound to compare other scorers with.

    It cheats. Published tables often choose the epoch or the weight of a method like this; a choice so made is not to
    be had where the target has no labels, and its accuracy is too good.

    Parameters
    ----------
    true_labels : array-like of shape (n,) or None, default=None
        Labels of all rows that the scorer will be given, in their order; if both this and y are pandas Series, they are
        matched by their index instead, which holds in the folds of a search too. None takes them as metadata:
        ``search.fit(X, y, true_labels=...)`` under ``sklearn.set_config(enable_metadata_routing=True)``.
    scoring : str or callable(estimator, X, y), default="accuracy"
        A name of `sklearn.metrics.get_scorer_names`, or a scorer.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.metrics import CheatingOracleScorer
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = LogisticRegression().fit(X, [0, 0, 1, 1])
    >>> CheatingOracleScorer()(model, X, [0, 0, -1, -1], true_labels=[0, 0, 1, 0])
    0.5
    """

    __metadata_request__score: ClassVar[dict] = {"true_labels": True, "estimator": UNUSED}
    _parameter_constraints: ClassVar[dict] = {
        **DomainScorer._parameter_constraints,
        "true_labels": ["array-like", None],
        "scoring": [str, callable],
    }

    def __init__(self, true_labels: Any = None, *, scoring: str | Callable = "accuracy", unlabelled: Any = -1):
        self.true_labels = true_labels
        self.scoring = scoring
        self.unlabelled = unlabelled

    def __call__(self, estimator: Any, X: Any, y: Any, *, true_labels: Any = None) -> float:
        """Return `score`."""
        return self.score(estimator, X, y, true_labels=true_labels)

    def score(self, estimator: Any, X: Any, y: Any, *, true_labels: Any = None) -> float:
        """Score a fitted estimator by the true labels of its unlabelled rows.

        Parameters
        ----------
        estimator : classifier
            Fitted.
        X : array-like, sparse matrix or sequence of pictures
            Rows; the labelled ones are left out.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.
        true_labels : array-like of shape (n,), default=None
            True labels of all rows; those of labelled rows are not looked at.

        Returns
        -------
        float
            Higher is better.

        Raises
        ------
        ValueError
            If no row is unlabelled, or true labels are missing.
        """
        self._validate_params()
        rows = self._rows(X, y)
        truth = self._of_rows(y, true_labels)[rows.target]
        unknown = int((~is_labelled(truth, self.unlabelled)).sum())
        if unknown:
            raise ValueError(f"true_labels has no label for {unknown} of the {len(truth)} unlabelled rows.")
        return float(metric_scorer(self.scoring)(estimator, rows.X_target, known_labels(truth, np.arange(len(truth)))))

    def _of_rows(self, y: Any, true_labels: Any) -> np.ndarray:
        truth = self.true_labels if true_labels is None else true_labels
        if truth is None:
            raise ValueError(
                "CheatingOracleScorer needs true_labels, one a row: CheatingOracleScorer(true_labels), or as metadata "
                "fit(X, y, true_labels=...) with sklearn.set_config(enable_metadata_routing=True)."
            )
        if true_labels is None and hasattr(truth, "reindex") and hasattr(y, "index"):
            truth = truth.reindex(y.index)
        if n_rows(truth, "true_labels") != n_rows(y, "y"):
            raise ValueError(
                f"true_labels must have one label a row: expected {n_rows(y)}, got {n_rows(truth)}. In the "
                "folds of a search, give y and true_labels as pandas Series, or true_labels as metadata."
            )
        return plain(as_labels(truth))
