"""Logistic regression that chooses its own penalty."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import validate_data
from sktl._class_weight import check_class_names, weighted_by_class
from sktl._columns import row_weights
from sktl._documented import Documented
from sktl._logistic import MAX_ITER, solve_logistic
from sktl._magnitudes import LARGEST_FLOAT64, check_magnitude
from sktl._modes import InPlainModes
from sktl._whole_fits import WholeFits


class LogisticRegressionLOO(WholeFits, InPlainModes, ClassifierMixin, Documented, BaseEstimator):
    """Multinomial logistic regression whose `C` has the lowest leave-one-out log-loss.

    No fit is repeated for it: one step of Newton's method tells what each row's answer would be without that row [1]_.
    So all rows are learned from, with two rows a class too, and probabilities are about as sure as they should be.
    It is made for codes of networks behind `Normalizer`, few or many; rows are not scaled here.

    From a middle strength, 100 over the mean squared length of the centred rows, `C` goes up or down by factors of 3.2
    as long as the loss falls by more than its standard error. Rows that are alike and of one class are left out
    together, so that a row of weight 2 is the same as two rows.

    Parameters
    ----------
    C : float or "auto", default="auto"
        Inverse strength of the penalty, as in scikit-learn's `LogisticRegression`; "auto" chooses it.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights, as in scikit-learn; "balanced" counts rows by their weights.
    max_iter : int, default=1000
        Steps of the solver, at most.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (n_classes, n_features) or (1, n_features)
        The weights; one row for two classes.
    intercept_ : ndarray of shape (n_classes,) or (1,)
        The intercepts.
    C_ : float
        What was taken.
    loo_log_loss_ : float
        The leave-one-out log-loss with it, of rows that are not a class's only one; NaN where `C` was given or rows
        were too few.
    loo_error_ : float
        The share of rows that is wrong when left out, a class's only row among them; NaN where `C` was given.
    n_iter_ : int
        Steps of the solver.
    n_features_in_ : int
        Columns of X.

    See Also
    --------
    make_codes_classifier : Puts it behind a network's codes.

    References
    ----------
    .. [1] K. Rahnama Rad and A. Maleki, "A scalable estimate of the out-of-sample prediction error via approximate
       leave-one-out cross-validation", Journal of the Royal Statistical Society B 82, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer
    >>> from sktl.features import LogisticRegressionLOO
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(Normalizer(), LogisticRegressionLOO()).fit(X[:50], y[:50])
    >>> model.predict_proba(X[50:]).shape
    (1747, 10)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, C: float | str = "auto", *, class_weight: Mapping | str | None = None, max_iter: int = MAX_ITER):
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LogisticRegressionLOO:
        """Choose `C` and solve.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows.
        y : array-like of shape (n,)
            Labels of any type, of two classes at least.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows; those of weight 0 are left out. Where `C` is "auto", only their ratios matter.

        Returns
        -------
        LogisticRegressionLOO
            Itself.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_magnitude(X, LARGEST_FLOAT64)
        check_classification_targets(y)
        weight = None if sample_weight is None else row_weights(sample_weight, len(X))
        check_class_names(self.class_weight, np.unique(y))
        weight = weighted_by_class(y, weight, self.class_weight)
        kept = np.ones(len(y), dtype=bool) if weight is None else weight > 0
        self.classes_, target = np.unique(y[kept], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "LogisticRegressionLOO needs samples of at least 2 classes with weight in the data, but the data "
                f"contains only one class: {self.classes_.tolist()}."
            )
        weight = None if weight is None else weight[kept]
        solution = solve_logistic(X[kept], target, weight, self.C, int(self.max_iter))
        self.coef_, self.intercept_, self.n_iter_ = solution.weight, solution.bias, solution.n_iter
        self.C_, self.loo_log_loss_, self.loo_error_ = solution.C, solution.loss, solution.error
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits, (n, n_classes), or (n,) of the second of two classes.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        logits = X @ self.coef_.T + self.intercept_
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, (n,).

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows.
        """
        logits = self.decision_function(X)
        return self.classes_[(logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities, (n, n_classes).

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows.
        """
        return softmax(self._logits(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of the probabilities, (n, n_classes).

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows.
        """
        return log_softmax(self._logits(X), axis=1)

    def _logits(self, X: Any) -> np.ndarray:
        logits = self.decision_function(X)
        return np.column_stack([np.zeros_like(logits), logits]) if logits.ndim == 1 else logits
