"""Any estimator, learned from source rows that are weighted as they occur in the target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import deepcopy
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, _fit_context, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import validate_data
from sktl._columns import check_classes, marked_labels, row_weights, target_values, with_weight
from sktl._delegation import PredictsByEstimator, refuse_regressor, weight_argument
from sktl._documented import Documented
from sktl._domains import found_domains
from sktl._estimator import NamedPartsMixin
from sktl._labelled_score import LabelledScoreMixin
from sktl._unlabelled import known_labels
from sktl._warn_once import warn_user
from sktl.density_ratios import DensityRatio, get_density_ratio
from sktl.reweighting._flattening import COLLAPSED, effective_size, flattened, with_every_class
from sktl.reweighting._held_out import held_out_probabilities
from sktl.reweighting._label_shift import LabelShift
from sktl.reweighting._registry import get_weighter


class _Reweighted(NamedPartsMixin, MetaEstimatorMixin, Documented, PredictsByEstimator, BaseEstimator):
    """What classifiers and regressors share: reading, weighing, and the fit with weights."""

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "flattening": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "unlabelled": "no_validation",
        "target_domain": "no_validation",
    }

    estimator: Any
    weighter: Any
    flattening: float | str
    unlabelled: Any
    target_domain: Any

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None, sample_weight: Any = None) -> Any:
        """Weigh the labelled rows of the source, and fit the estimator to all labelled rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            Rows of the source and of the target.
        y : array-like of shape (n,)
            Labels or values; those of unlabelled rows are marks.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain. By default labelled rows are the source and unlabelled rows the target.
        sample_weight : array-like of shape (n,), default=None
            Weights of one's own, which the found ones are multiplied by; labelled rows of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator takes no weights, has no probabilities where the weighter needs them, or is a regressor
            where classes are learned.
        ValueError
            If there is no label, or no source row is like the target's.
        """
        name = type(self).__name__
        argument, weighter = weight_argument(self.estimator, name), self._weighter()
        X = self._asked(X, reset=True)
        labels, labelled = marked_labels(y, X.shape[0], self.unlabelled, name)
        given = None if sample_weight is None else row_weights(sample_weight, len(labels))
        if given is not None:  # for the ratios too
            labelled = with_weight(labelled, given)
            given = given[labelled]
        known = self._known(known_labels(labels, labelled))
        is_target = found_domains(labels, sample_domain, self.unlabelled, self.target_domain).is_target
        learned = X[np.flatnonzero(labelled)]
        is_source = ~is_target[labelled]
        weights, self.flattening_ = np.ones(len(known)), 1.0
        self.density_ratio_ = np.ones(int(is_source.sum()))
        if is_target.any() and is_source.any():
            target = X[np.flatnonzero(is_target)]
            self.density_ratio_ = self._ratios(weighter, learned[np.flatnonzero(is_source)], known[is_source], target)
            weights[is_source] = self._weights(self.density_ratio_)
        else:
            missing = "target row: mark them in y as unlabelled" if not is_target.any() else "source row with a label"
            warn_user(f"There is no {missing}. {name} weighs all rows alike.")
        self.weights_ = weights = self._learnable(weights, known)
        self.effective_sample_size_ = effective_size(weights[is_source]) if is_source.any() else 0.0
        self._warn_of_collapse(int(is_source.sum()))
        fitted = (
            {} if given is None and (weights == 1).all() else {argument: weights if given is None else weights * given}
        )
        self.estimator_ = clone(self.estimator).fit(learned, known, **fitted)
        return self

    @abstractmethod
    def _known(self, labels: np.ndarray) -> np.ndarray:
        """Return the labels of labelled rows, checked."""

    def _weighter(self) -> Any:
        return self._parts_by_name()["weighter"](self.weighter) if isinstance(self.weighter, str) else self.weighter

    @abstractmethod
    def _ratios(self, weighter: Any, source: Any, y: np.ndarray, target: Any) -> np.ndarray:
        """Return the density ratio at each labelled source row."""

    def _weights(self, ratios: np.ndarray) -> np.ndarray:
        is_of_rows = not hasattr(self, "class_weights_")
        weights, self.flattening_ = flattened(ratios, self.flattening, type(self).__name__, is_of_rows=is_of_rows)
        return weights

    def _learnable(self, weights: np.ndarray, known: np.ndarray) -> np.ndarray:
        return weights

    def _warn_of_collapse(self, n: int) -> None:
        if n and self.effective_sample_size_ < COLLAPSED * n:
            warn_user(
                f"{type(self).__name__} learns from {n} weighted source rows that are worth "
                f"{self.effective_sample_size_:.1f} of equal weight: a few rows decide, and the fit may be worse than "
                "without weights. Lower flattening (0.5, say), use weighter='rulsif' or 'rlls', or align the domains "
                "first."
            )

    def _asked(self, X: Any, reset: bool = False) -> Any:
        return validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset)

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        tags.array_api_support = False
        tags.input_tags.allow_nan = False
        return tags


class ReweightedClassifier(LabelledScoreMixin, _Reweighted):
    """A classifier learned from source rows that are weighted as they, or their classes, occur in the target.

    Rows that are frequent in the target and rare in the source count more. With weights of rows, labels must depend on
    the columns in the same way in both domains (covariate shift), and each kind of target row must occur in the source:
    where the domains do not overlap, use `sktl.aligners`. With weights of classes ("bbse", "em", "rlls") only the
    classes' shares may differ (label shift), as where an illness is rarer at home than in the clinic.

    Start with "discriminative" for rows, and with "em" or "rlls" for classes. A model that is flexible enough to be
    right everywhere gains little from weights; linear and shallow ones gain most.

    Parameters
    ----------
    estimator : classifier
        A clone of it is fitted; it must take ``sample_weight``. In a pipeline, its last step must.
    weighter : str, DensityRatio or LabelShift, default="discriminative"
        A key of `WEIGHTERS`, the `name` of a class of one's own, or one of the objects; ``weighter__C`` reaches into
        either.
    flattening : float or "auto", default="auto"
        Power of the weights: 0 leaves all alike, values between trade bias for a steadier fit [1]_. "auto" is 1, or,
        where the weights of rows would be worth less than three tenths of the rows, what leaves so many.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    estimator_ : classifier
        The fitted clone.
    classes_ : ndarray
        Sorted labels.
    density_ratio_ : ndarray of shape (n_source,)
        The target's density over the source's, at each labelled source row.
    class_weights_ : ndarray of shape (n_classes,)
        The classes' shares in the target over those in the source; with weights of classes only.
    target_prior_ : ndarray of shape (n_classes,)
        The classes' shares in the target; with weights of classes only.
    weights_ : ndarray of shape (n_labelled,)
        What each labelled row was fitted with; those of the source have a mean of 1, labelled target rows have 1. Rows
        of a class that would have no weight at all have a millionth.
    flattening_ : float
        The power of the weights that was taken.
    effective_sample_size_ : float
        Source rows of equal weight that would give estimates as steady, (sum w)^2 / sum w^2. Below a tenth of the rows
        there is a warning.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] H. Shimodaira, "Improving predictive inference under covariate shift by weighting the log-likelihood
       function", Journal of Statistical Planning and Inference, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.reweighting import ReweightedClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(300, 1)), rng.normal(loc=1.5, size=(300, 1))])
    >>> y = np.where(np.abs(X[:, 0]) < 1, 0, 1)  # not linear, but nearly so where the target is
    >>> marked = np.where(np.arange(600) < 300, y, -1)
    >>> model = ReweightedClassifier(LogisticRegression()).fit(X, marked)
    >>> plain = LogisticRegression().fit(X[:300], y[:300])
    >>> bool(model.score(X[300:], y[300:]) > plain.score(X[300:], y[300:]) + 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **_Reweighted._parameter_constraints,
        "weighter": [str, DensityRatio, LabelShift],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        weighter: Any = "discriminative",
        flattening: float | str = "auto",
        unlabelled: Any = -1,
        target_domain: Any = None,
    ):
        self.estimator = estimator
        self.weighter = weighter
        self.flattening = flattening
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    @property
    def classes_(self) -> np.ndarray:
        """Sorted labels."""
        check_is_fitted(self)
        return self.estimator_.classes_

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        return {"weighter": get_weighter}

    def _known(self, labels: np.ndarray) -> np.ndarray:
        refuse_regressor(self.estimator, type(self).__name__)
        check_classes(labels)
        return labels

    def _learnable(self, weights: np.ndarray, known: np.ndarray) -> np.ndarray:
        return with_every_class(weights, known)

    def _ratios(self, weighter: Any, source: Any, y: np.ndarray, target: Any) -> np.ndarray:
        for name in ("class_weights_", "target_prior_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if isinstance(weighter, DensityRatio):
            return weighter.estimate(source, target)
        class_numbers = np.unique(y, return_inverse=True)[1]
        proba = held_out_probabilities(self.estimator, source, y, target, weighter)
        self.class_weights_ = weighter.estimate(class_numbers, *proba)
        self.target_prior_ = self.class_weights_ * np.bincount(class_numbers) / len(class_numbers)
        return self.class_weights_[class_numbers]


class ReweightedRegressor(RegressorMixin, _Reweighted):
    """A regressor learned from source rows that are weighted as they occur in the target.

    Rows that are frequent in the target and rare in the source count more. Values must depend on the columns in the
    same way in both domains (covariate shift), and each kind of target row must occur in the source. Target rows are
    those whose value is NaN: -1 is a value like any other.

    Parameters
    ----------
    estimator : regressor
        A clone of it is fitted; it must take ``sample_weight``. In a pipeline, its last step must.
    weighter : str or DensityRatio, default="discriminative"
        A key of `sktl.density_ratios.DENSITY_RATIOS`, or an object; ``weighter__C`` reaches into either.
    flattening : float or "auto", default="auto"
        Power of the weights: 0 leaves all alike, values between trade bias for a steadier fit [1]_. "auto" is 1, or,
        where the weights of rows would be worth less than three tenths of the rows, what leaves so many.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any value.

    Attributes
    ----------
    estimator_ : regressor
        The fitted clone.
    density_ratio_ : ndarray of shape (n_source,)
        The target's density over the source's, at each source row that has a value.
    weights_ : ndarray of shape (n_labelled,)
        What each row with a value was fitted with; those of the source have a mean of 1, target rows have 1.
    flattening_ : float
        The power of the weights that was taken.
    effective_sample_size_ : float
        Source rows of equal weight that would give estimates as steady, (sum w)^2 / sum w^2. Below a tenth of the rows
        there is a warning.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] H. Shimodaira, "Improving predictive inference under covariate shift by weighting the log-likelihood
       function", Journal of Statistical Planning and Inference, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sktl.reweighting import ReweightedRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(300, 1)), rng.normal(loc=1.0, scale=0.8, size=(300, 1))])
    >>> y = X[:, 0] ** 2
    >>> marked = np.where(np.arange(600) < 300, y, np.nan)
    >>> model = ReweightedRegressor(Ridge()).fit(X, marked)
    >>> plain = Ridge().fit(X[:300], y[:300])
    >>> bool(model.score(X[300:], y[300:]) > plain.score(X[300:], y[300:]) + 0.2)
    True
    """

    unlabelled = None  # NaN alone marks
    _parameter_constraints: ClassVar[dict] = {
        **{name: value for name, value in _Reweighted._parameter_constraints.items() if name != "unlabelled"},
        "weighter": [str, DensityRatio],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        weighter: Any = "discriminative",
        flattening: float | str = "auto",
        target_domain: Any = None,
    ):
        self.estimator = estimator
        self.weighter = weighter
        self.flattening = flattening
        self.target_domain = target_domain

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        return {"weighter": get_density_ratio}

    def _known(self, labels: np.ndarray) -> np.ndarray:
        return target_values(labels, None, self)

    def _ratios(self, weighter: Any, source: Any, y: np.ndarray, target: Any) -> np.ndarray:
        return weighter.estimate(source, target)
