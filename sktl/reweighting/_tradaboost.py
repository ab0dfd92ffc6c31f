"""TrAdaBoost: boosting in which source rows that the target contradicts lose their weight."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import validate_data
from sktl._columns import check_classes, marked_labels, row_weights, with_weight
from sktl._delegation import refuse_regressor, weight_argument
from sktl._documented import Documented
from sktl._domains import found_domains
from sktl._draws import seed_of
from sktl._labelled_score import LabelledScoreMixin
from sktl._unlabelled import known_labels
from sktl._warn_once import warn_user
from sktl._whole_fits import WholeFits


class TrAdaBoostClassifier(WholeFits, LabelledScoreMixin, MetaEstimatorMixin, Documented, BaseEstimator):
    """TrAdaBoost: many labelled source rows help a few labelled target rows, as far as they agree with them [1]_.

    In each round a classifier is fitted to the rows of both domains. Target rows that it gets wrong gain weight, as in
    AdaBoost; source rows that it gets wrong lose weight, for they seem to be unlike the target. The classifiers of the
    second half of the rounds vote. For more than two classes, target rows are weighted as in SAMME [2]_.

    Use it when some target rows have labels, a few for each class. Without any, use `ReweightedClassifier`. Which rows
    are the target is said by `sample_domain` and `target_domain`. Unlabelled rows are left out. A round that is no
    better than chance on the target has no vote, and an error of 0 counts as half a target row.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Clones of it are fitted; it must take ``sample_weight``. None: a decision tree of depth 3.
    n_estimators : int, default=50
        Rounds.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; so do NaN and None.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those that have unlabelled rows.
    random_state : int, RandomState or None, default=None
        Seeds the clones, where they have a parameter of this name.

    Attributes
    ----------
    estimators_ : list of classifier
        One a round.
    estimator_weights_ : ndarray of shape (n_estimators,)
        Their votes; 0 in the first half.
    estimator_errors_ : ndarray of shape (n_estimators,)
        Weighted errors on the target's rows.
    source_weights_ : ndarray of shape (n_source,)
        Of labelled source rows after the last round, at a mean of 1.
    classes_ : ndarray
        Sorted labels.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] W. Dai et al., "Boosting for transfer learning", ICML, 2007.
    .. [2] T. Hastie et al., "Multi-class AdaBoost", Statistics and Its Interface, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.reweighting import TrAdaBoostClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(320, 2))
    >>> domain = np.repeat(["old", "new"], [300, 20])
    >>> y = np.where(domain == "old", X[:, 0] > 0, X[:, 0] > 1).astype(int)  # another threshold
    >>> model = TrAdaBoostClassifier(target_domain="new", random_state=0).fit(X, y, sample_domain=domain)
    >>> len(model.estimators_), model.source_weights_.shape
    (50, (300,))
    >>> model.predict([[3.0, 0.0], [-3.0, 0.0]])
    array([1, 0])
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "unlabelled": "no_validation",
        "target_domain": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_estimators: int = 50,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None, sample_weight: Any = None) -> Any:
        """Boost on labelled rows of both domains.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            Rows of the source and of the target.
        y : array-like of shape (n,)
            Labels; those of unlabelled rows are marks.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain. Without it no labelled row is of the target, and all are boosted as in AdaBoost.
        sample_weight : array-like of shape (n,), default=None
            With which the rows start; one of weight 2 counts as two rows. Weights of a mean below 1 are brought to 1.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the estimator takes no weights, or is a regressor.
        ValueError
            If there is no label, or the rows cannot be read.
        """
        name, base = type(self).__name__, self._base()
        refuse_regressor(base, name)
        argument = weight_argument(base, name)
        X = self._asked(X, reset=True)
        labels, labelled = marked_labels(y, X.shape[0], self.unlabelled, name, what="both domains")
        given = np.ones(len(labels)) if sample_weight is None else row_weights(sample_weight, len(labels))
        labelled = with_weight(labelled, given)
        known = known_labels(labels, labelled)
        check_classes(known)
        is_target = found_domains(labels, sample_domain, self.unlabelled, self.target_domain).is_target[labelled]
        if not is_target.any():
            warn_user(
                f"No labelled row is of the target: {name} boosts all rows alike. Name the target in target_domain and "
                "each row's domain in sample_domain; without labels in the target use ReweightedClassifier."
            )
            is_target = np.ones(len(known), dtype=bool)
        self.classes_, codes = np.unique(known, return_inverse=True)
        weights = given[labelled] * max(1.0, labelled.sum() / given[labelled].sum())  # sums are numbers of rows below
        self._boost(base, argument, X[np.flatnonzero(labelled)], codes, weights, is_target)
        return self

    def _boost(
        self, base: Any, argument: str, X: Any, codes: np.ndarray, weights: np.ndarray, is_target: np.ndarray
    ) -> None:
        n, total, n_target = self.n_estimators, weights.sum(), weights[is_target].sum()
        votes: list[float] = []
        errors: list[float] = []
        chance = 1 - 1 / max(len(self.classes_), 2)
        # beta = 1 / (1 + sqrt(2 ln n_source / N)): what a source row that is wrong keeps of its weight
        kept = 1 / (1 + np.sqrt(2 * np.log(max(total - n_target, 1)) / n))
        random_state = np.random.RandomState(seed_of(self.random_state))
        self.estimators_ = []
        for _ in range(n):
            model = clone(base)
            seeds = {key: int(random_state.randint(2**31 - 1)) for key in sorted(model.get_params())
                     if key == "random_state" or key.endswith("__random_state")}  # fmt: skip
            model.set_params(**seeds).fit(X, self.classes_[codes], **{argument: weights})
            wrong = np.asarray(model.predict(X)) != self.classes_[codes]
            of_target = weights[is_target]
            errors.append(of_target[wrong[is_target]].sum() / of_target.sum())
            self.estimators_.append(model)
            error = max(errors[-1], 0.5 / n_target)
            # SAMME: log((1 - e) / e) + log(K - 1)
            vote = np.log((1 - error) / error) + np.log(chance / (1 - chance)) if error < chance else 0.0
            votes.append(vote)
            factor = np.where(is_target, np.exp(vote), kept)
            weights = np.where(wrong, weights * factor, weights)
            weights = weights * (total / weights.sum())
        late = np.arange(n) >= n // 2
        found = np.where(late, votes, 0.0)
        self.estimator_weights_ = found if found.any() else late.astype(float)
        self.estimator_errors_ = np.array(errors)
        source = weights[~is_target]
        self.source_weights_ = source / source.mean() if source.sum() > 0 else source

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label that most votes are for.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n,)
            Labels.
        """
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return each label's share of the votes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        X = self._asked(X)
        shares = np.zeros((X.shape[0], len(self.classes_)))
        for model, vote in zip(self.estimators_, self.estimator_weights_):
            if vote:
                shares[np.arange(len(shares)), np.searchsorted(self.classes_, model.predict(X))] += vote
        return shares / self.estimator_weights_.sum()

    def _base(self) -> Any:
        return DecisionTreeClassifier(max_depth=3) if self.estimator is None else self.estimator

    def _asked(self, X: Any, reset: bool = False) -> Any:
        return validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset)

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self._base()))
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        tags.classifier_tags.multi_label = False
        tags.array_api_support = False
        tags.input_tags.allow_nan = False
        return tags
