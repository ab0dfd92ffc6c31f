"""Any estimator, given the labelled rows alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context, clone, is_regressor
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import n_rows, take_rows
from sktl._columns import check_classes, marked_labels, row_weights
from sktl._delegation import PredictsByEstimator, has
from sktl._documented import Documented
from sktl._unlabelled import known_labels
from sktl._warn_once import warn_of_marked_rows


class LabelledOnly(MetaEstimatorMixin, Documented, PredictsByEstimator):
    """Rows without a label are dropped before an estimator learns.

    An aligner needs the unlabelled rows of the target, and the classifier behind it must not see them: it would take
    the mark, -1, for one more class. This wrapper stands between them, with nothing to route. An aligner raises an
    error if its pipeline has a step that learns from y and is not wrapped so; a selection of features, too, is
    ``LabelledOnly(SelectKBest())``.

    Parameters
    ----------
    estimator : estimator
        What learns from the labelled rows; a clone of it is fitted.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; so do NaN and None. For a regressor -1 is a value like any other, and only
        NaN marks. With None every row is passed on.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone. Its other attributes (``classes_``, ``coef_``, ``n_features_in_``) can be read here too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.aligners import LabelledOnly
    >>> X, y = np.array([[0.0], [1.0], [5.0]]), [3, 4, -1]
    >>> LabelledOnly(LogisticRegression()).fit(X, y).classes_
    array([3, 4])
    """

    _parameter_constraints: ClassVar[dict] = {"estimator": [HasMethods(["fit"])], "unlabelled": "no_validation"}

    def __init__(self, estimator: Any, *, unlabelled: Any = -1):
        self.estimator = estimator
        self.unlabelled = unlabelled

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> LabelledOnly:
        """Fit the estimator to the labelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.
        sample_weight : array-like of shape (n,), default=None
            Of all rows; passed on where it is given.

        Returns
        -------
        LabelledOnly
            Itself.
        """
        rows, labels = self._labelled(X, y)
        weight = {} if sample_weight is None else {"sample_weight": row_weights(sample_weight, len(rows))[rows]}
        X = X if rows.all() else take_rows(X, np.flatnonzero(rows))
        self.estimator_ = clone(self.estimator).fit(X, labels, **weight)
        return self

    @available_if(has("score"))
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the estimator's score on the labelled rows; the others are left out, with a warning.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.
        y : array-like of shape (n,)
            True labels; `unlabelled`, NaN or None where there is none.
        sample_weight : array-like of shape (n,), default=None
            Of all rows.

        Returns
        -------
        float
            Accuracy of a classifier, R2 of a regressor.
        """
        check_is_fitted(self)
        rows, labels = self._labelled(X, y)
        weight = {} if sample_weight is None else {"sample_weight": row_weights(sample_weight, len(rows))[rows]}
        if not rows.all():
            warn_of_marked_rows("LabelledOnly", "score")
            X = take_rows(X, np.flatnonzero(rows))
        return float(self.estimator_.score(X, labels, **weight))

    @available_if(has("transform"))
    def transform(self, X: Any) -> Any:
        """Transform rows by the fitted estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or what else the estimator takes
            Rows.

        Returns
        -------
        array-like
            What the estimator answers.
        """
        check_is_fitted(self)
        return self.estimator_.transform(X)

    def __getattr__(self, name: str) -> Any:
        """Return what the fitted estimator has learned."""
        if "estimator_" not in self.__dict__ or not name.endswith("_") or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.estimator_, name)

    def _labelled(self, X: Any, y: Any) -> tuple[np.ndarray, Any]:
        """Return which rows have a label, and these labels."""
        if self.unlabelled is None and y is not None:
            return np.ones(n_rows(y, "y"), dtype=bool), y
        is_values = is_regressor(self.estimator)
        labels, rows = marked_labels(y, n_rows(X), self.unlabelled, "LabelledOnly", missing_only=is_values)
        known = known_labels(labels, rows)
        if not is_values:
            check_classes(known)
        return rows, known

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        tags.array_api_support = False
        return tags
