"""What scorers that know unlabelled rows have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer
from sklearn.metrics._scorer import _BaseScorer

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._columns import check_length
from sktl._documented import Documented
from sktl._kept_outputs import keeping_outputs, original
from sktl._unlabelled import as_labels, is_labelled, known_labels


@dataclass(frozen=True)
class DomainRows:
    """The two parts of what a scorer is given.

    Attributes
    ----------
    X
        All rows.
    X_labelled, X_target
        Labelled rows, and unlabelled ones; of the kind of X.
    y : ndarray of shape (n_labelled,)
        Labels of the labelled rows.
    labelled, target : ndarray of int
        Their numbers among all rows.
    kept : dict
        What several scorers of one estimator need: computed by the first of them.
    """

    X: Any
    X_labelled: Any
    X_target: Any
    y: np.ndarray
    labelled: np.ndarray
    target: np.ndarray
    kept: dict[tuple, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, X: Any, y: Any, unlabelled: Any) -> DomainRows:
        """Split rows by the mark in y."""
        X, y = rows_on_host(X), as_labels(y)
        check_length(y, n_rows(X), "y")
        is_source = is_labelled(y, unlabelled)
        labelled, target = np.flatnonzero(is_source), np.flatnonzero(~is_source)
        return cls(X, take_rows(X, labelled), take_rows(X, target), known_labels(y, labelled), labelled, target)


class DomainScorer(Documented, BaseEstimator):
    """Abstract: a ``scorer(estimator, X, y)`` that finds source and target by the unlabelled mark in y.

    It is stateless, so that threads may share it; higher is better.
    """

    needs_labelled: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {"unlabelled": "no_validation"}

    unlabelled: Any

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : classifier
            Fitted.
        X : array-like, sparse matrix or sequence of pictures
            Labelled source rows and unlabelled target rows.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.

        Returns
        -------
        float
            Higher is better.

        Raises
        ------
        ValueError
            If rows that the score needs are not there.
        """
        self._validate_params()
        rows = self._rows(X, y)
        with keeping_outputs(estimator) as view:
            return float(self._score(view, rows))

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        """Return the score; `estimator` is a view that passes the same rows through a network once.

        Outputs may be asked for as often as one likes, of `rows.X_labelled` and `rows.X_target` as they are. What is to
        be trained, or changed, is a clone.
        """
        raise NotImplementedError

    def _rows(self, X: Any, y: Any) -> DomainRows:
        if y is None:
            name = type(self).__name__
            raise ValueError(f"{name} needs y, with {self.unlabelled!r} where a row has no label; got y=None.")
        return self._checked(DomainRows.of(X, y, self.unlabelled))

    def _checked(self, rows: DomainRows) -> DomainRows:
        name, n = type(self).__name__, len(rows.labelled) + len(rows.target)
        if self.needs_labelled and len(rows.labelled) == 0:
            raise ValueError(
                f"{name} needs labelled rows, but all {n} rows are {self.unlabelled!r} or missing, which means "
                "unlabelled. Score folds that hold both domains (cv=StratifiedDomainKFold()), or use a scorer of the "
                "target alone, such as InformationMaximizationScorer."
            )
        if self.needs_target and len(rows.target) == 0:
            raise ValueError(
                f"{name} needs unlabelled target rows, but all {n} rows are labelled. Mark target rows as "
                f"{self.unlabelled!r} in y, score folds that hold both domains (cv=StratifiedDomainKFold()), or use "
                "LabelledScorer."
            )
        return rows


def metric_of(scoring: str | Callable, estimator: Any, X: Any, y: Any, **params: Any) -> float:
    """Return a metric of an estimator, or of a view of one; callables of users are given the estimator itself."""
    scorer = metric_scorer(scoring)
    return scorer(estimator if isinstance(scorer, _BaseScorer) else original(estimator), X, y, **params)


def metric_scorer(scoring: Any) -> Any:
    """Return scikit-learn's scorer of that name; callables come back as they are."""
    return get_scorer(scoring) if isinstance(scoring, str) else scoring
