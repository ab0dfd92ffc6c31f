"""Answers of a wrapper are those of the estimator that it has fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sktl._whole_fits import WholeFits


def has(method: str) -> Callable[[Any], bool]:
    """Return a check that the wrapped estimator has a method."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)  # its own AttributeError says why not
        return True

    return check


class PredictsByEstimator(WholeFits, BaseEstimator):
    """A meta-estimator whose ``estimator_``, once fitted, answers for it.

    `_asked` reads the rows that are given, and `_scores` looks at probabilities and decision values before they go out.
    """

    estimator: Any
    estimator_: Any

    def _asked(self, X: Any) -> Any:
        return X

    def _scores(self, scores: np.ndarray) -> np.ndarray:
        return scores

    @available_if(has("predict"))
    def predict(self, X: Any) -> np.ndarray:
        """Predict by the fitted estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.

        Returns
        -------
        ndarray of shape (n,)
            Labels, or values of a regressor.
        """
        check_is_fitted(self)
        return self.estimator_.predict(self._asked(X))

    @available_if(has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities by the fitted estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self._scores(self.estimator_.predict_proba(self._asked(X)))

    @available_if(has("predict_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of probabilities by the fitted estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        if hasattr(self.estimator_, "predict_log_proba"):
            return self.estimator_.predict_log_proba(self._asked(X))
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the fitted estimator's decision values.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.

        Returns
        -------
        ndarray of shape (n,) or (n, n_classes)
            What the estimator answers.
        """
        check_is_fitted(self)
        return self._scores(self.estimator_.decision_function(self._asked(X)))

    def __sklearn_is_fitted__(self) -> bool:
        return "estimator_" in self.__dict__


def refuse_regressor(estimator: Any, wrapper: str) -> None:
    """Raise where a classifier is needed, and an estimator predicts values.

    Raises
    ------
    TypeError
        If it is a regressor.
    """
    if get_tags(estimator).estimator_type == "regressor":
        raise TypeError(
            f"{wrapper} learns classes, and {type(estimator).__name__} is a regressor. Pass a classifier, such as "
            "LogisticRegression()."
        )


def weight_argument(estimator: Any, wrapper: str) -> str:
    """Return the name by which an estimator's fit takes weights of rows; in a pipeline, those of its last step.

    Raises
    ------
    TypeError
        If it takes none.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return f"{name}__{weight_argument(last, wrapper)}"
    if isinstance(estimator, BaseSearchCV):
        return weight_argument(estimator.estimator, wrapper)
    if not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"{wrapper} weighs rows, but {type(estimator).__name__}.fit takes no sample_weight. Use one that does: "
            "LogisticRegression, Ridge, SVC, or trees and their ensembles."
        )
    return "sample_weight"
