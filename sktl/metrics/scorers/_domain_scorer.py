"""What scorers that know unlabelled rows have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._columns import check_length
from sktl._documented import Documented
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
    """

    X: Any
    X_labelled: Any
    X_target: Any
    y: np.ndarray
    labelled: np.ndarray
    target: np.ndarray


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
        return float(self._score(estimator, self._rows(X, y)))

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        raise NotImplementedError

    def _rows(self, X: Any, y: Any) -> DomainRows:
        name = type(self).__name__
        if y is None:
            raise ValueError(f"{name} needs y, with {self.unlabelled!r} where a row has no label; got y=None.")
        X, y = rows_on_host(X), as_labels(y)
        check_length(y, n_rows(X), "y")
        is_source = is_labelled(y, self.unlabelled)
        labelled, target = np.flatnonzero(is_source), np.flatnonzero(~is_source)
        if self.needs_labelled and len(labelled) == 0:
            raise ValueError(
                f"{name} needs labelled rows, but all {len(y)} rows are {self.unlabelled!r} or missing, which means "
                "unlabelled. Score folds that hold both domains (cv=StratifiedDomainKFold()), or use a scorer of the "
                "target alone, such as InformationMaximizationScorer."
            )
        if self.needs_target and len(target) == 0:
            raise ValueError(
                f"{name} needs unlabelled target rows, but all {len(y)} rows are labelled. Mark target rows as "
                f"{self.unlabelled!r} in y, score folds that hold both domains (cv=StratifiedDomainKFold()), or use "
                "LabelledScorer."
            )
        return DomainRows(X, take_rows(X, labelled), take_rows(X, target), known_labels(y, labelled), labelled, target)


def metric_scorer(scoring: Any) -> Any:
    """Return scikit-learn's scorer of that name; callables come back as they are."""
    return get_scorer(scoring) if isinstance(scoring, str) else scoring
