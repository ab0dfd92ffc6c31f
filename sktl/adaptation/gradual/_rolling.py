"""Data in periods: the newest has no labels yet, and is learned for from the periods just before it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import check_classes, domain_column, marked_labels
from sktl._delegation import PredictsByEstimator, has, refuse_regressor
from sktl._documented import Documented
from sktl._domain_names import as_python, rows_by_domain
from sktl._labelled_score import LabelledScoreMixin
from sktl._modes import InPlainModes
from sktl._periods import in_order_of_time
from sktl._progress import fitted_in_task
from sktl._unlabelled import known_labels
from sktl._validation import shorten

PAST, NEWEST = "past", "newest"


class RollingAdaptedClassifier(
    InPlainModes, CallbackSupportMixin, LabelledScoreMixin, MetaEstimatorMixin, Documented, PredictsByEstimator
):
    """A classifier for data in periods, which rolls with them: each new period is learned for from those before it.

    Labels come late. The newest period has none yet, and the past is not quite like it. For each period with unlabelled
    rows, a clone of the estimator is given the labelled rows of the last periods and the unlabelled rows of that one,
    as source and target. Old periods are forgotten. This is what re-training on a sliding window does, with an
    adaptation to the present on top; a classifier that does not adapt, ``LabelledOnly(classifier)``, is re-trained
    only.

    Start with the default window. A longer one is steadier, a shorter one follows faster. Compare it by `DriftDisplay`
    with a classifier that is never fitted again and with the last label that was seen: where labels repeat, this
    control is often hard to beat.

    Parameters
    ----------
    estimator : classifier
        One whose `fit` knows the mark of unlabelled rows: `DomainAdaptedClassifier`, `ReweightedClassifier`, a pipeline
        of an aligner and ``LabelledOnly(classifier)``, `SafelyAdaptedClassifier` around any of these.
    window : int or None, default=5
        Labelled periods, the last ones, that a period is learned from; None takes all.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, as in `estimator`; missing values mark them too.

    Attributes
    ----------
    estimator_ : classifier
        That of the newest period.
    estimators_ : dict
        By period, in the order of time, for each one with unlabelled rows. Where no row is unlabelled, that of the last
        period alone.
    windows_ : dict of list
        By period, which periods it was learned from.
    classes_ : ndarray
        Sorted labels of all these periods.

    See Also
    --------
    GradualAdaptedClassifier : Follows periods none of which gets labels.
    sktl.model_selection.TimeDomainSplit : Splits by period.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktl.adaptation import RollingAdaptedClassifier
    >>> from sktl.aligners import DomainStandardizer, LabelledOnly
    >>> rng = np.random.default_rng(0)
    >>> year = np.repeat(np.arange(2020, 2026), 100)
    >>> truth = rng.integers(2, size=600)
    >>> X = rng.normal(size=(600, 2)) + 3 * truth[:, None] + 2 * (year - 2020)[:, None]
    >>> y = np.where(year < 2025, truth, -1)  # the newest year has no labels yet
    >>> aligned = make_pipeline(DomainStandardizer(), LabelledOnly(LogisticRegression()))
    >>> model = RollingAdaptedClassifier(aligned, window=1).fit(X, y, sample_domain=year)
    >>> model.windows_
    {2025: [2024]}
    >>> bool(np.mean(model.predict(X[500:]) == truth[500:]) > 0.9)
    True
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "unlabelled": "no_validation",
    }

    def __init__(self, estimator: Any, *, window: int | None = 5, unlabelled: Any = -1):
        self.estimator = estimator
        self.window = window
        self.unlabelled = unlabelled

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None) -> RollingAdaptedClassifier:
        """Learn for each period that has unlabelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures or texts
            Rows of all periods, of the kind that the estimator takes.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none yet.
        sample_domain : array-like of shape (n,), default=None
            Each row's period: a number, a date, an ordered category, or text that sorts by time. By default labelled
            rows are the past, and unlabelled ones the newest period.

        Returns
        -------
        RollingAdaptedClassifier
            Itself.

        Raises
        ------
        ValueError
            If a period has no labelled rows before it or in it.
        TypeError
            If the estimator is a regressor.
        """
        refuse_regressor(self.estimator, type(self).__name__)
        X = rows_on_host(X)
        labels, labelled = marked_labels(y, n_rows(X), self.unlabelled, type(self).__name__, what="past periods")
        check_classes(known_labels(labels, labelled))
        names, of_row = self._periods(sample_domain, labelled)
        wanted = np.unique(of_row[~labelled]) if not labelled.all() else np.array([len(names) - 1])
        windows = {int(number): self._window(int(number), of_row, labelled, names) for number in wanted}
        context = self._init_callback_context(max_subtasks=len(windows))
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        found, learned_from, periods = {}, {}, as_python(names)
        for number, window in windows.items():
            rows = np.flatnonzero((np.isin(of_row, window) & labelled) | ((of_row == number) & ~labelled))
            name = periods[number]
            own = take_rows(X, rows), labels[rows]
            found[name] = fitted_in_task(clone(self.estimator), *own, meta=self, context=context, name=f"period {name}")
            learned_from[name] = [periods[i] for i in window]
        newest = next(reversed(found.values()))
        classes = np.unique(np.concatenate([np.asarray(model.classes_) for model in found.values()]))
        for attribute in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(attribute, None)
            if hasattr(newest, attribute):
                setattr(self, attribute, getattr(newest, attribute))
        self.estimators_, self.windows_, self.classes_, self.estimator_ = found, learned_from, classes, newest
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def predict(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return labels, (n,).

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures or texts
            Rows.
        sample_domain : array-like of shape (n,), default=None
            Each row's period, one that `fit` has learned for. By default all rows are of the newest.

        Returns
        -------
        ndarray
        """
        check_is_fitted(self)
        X = rows_on_host(X)
        return self._by_period(X, sample_domain, lambda model, rows: np.asarray(model.predict(rows)))

    @available_if(has("predict_proba"))
    def predict_proba(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return probabilities, (n, n_classes), in the order of `classes_`; `sample_domain` as in `predict`.

        A class that does not occur in the periods that a row's period was learned from has none.
        """
        check_is_fitted(self)
        return self._by_period(rows_on_host(X), sample_domain, self._probabilities)

    @available_if(has("predict_proba"))
    def predict_log_proba(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return the logarithms of `predict_proba`; `sample_domain` as in `predict`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, sample_domain=sample_domain))

    def _periods(self, sample_domain: Any, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if sample_domain is not None:
            return in_order_of_time(sample_domain, len(labelled))
        if labelled.all():
            return np.array([PAST]), np.zeros(len(labelled), dtype=int)
        return np.array([PAST, NEWEST]), (~labelled).astype(int)

    def _window(self, number: int, of_row: np.ndarray, labelled: np.ndarray, names: np.ndarray) -> list[int]:
        """Return the last labelled periods up to this one; the labels of its own rows count beside them."""
        known = np.unique(of_row[labelled])
        before = known[known < number].tolist()
        own = known[known == number].tolist()
        window = before if self.window is None else before[-int(self.window) :]
        if not window and not own:
            raise ValueError(
                f"The period {as_python(names)[number]!r} has unlabelled rows, and no period before it has labels. "
                "Leave it out, or check that periods in sample_domain sort by time."
            )
        return [*window, *own]

    def _probabilities(self, model: Any, X: Any) -> np.ndarray:
        found = np.asarray(model.predict_proba(X))
        out = np.zeros((len(found), len(self.classes_)), dtype=found.dtype)
        out[:, np.searchsorted(self.classes_, model.classes_)] = found
        return out

    def _by_period(self, X: Any, sample_domain: Any, answer: Callable[[Any, Any], np.ndarray]) -> np.ndarray:
        if sample_domain is None:
            return answer(self.estimator_, X)
        period = domain_column(sample_domain, n_rows(X))
        parts, unknown = rows_by_domain(period, self.estimators_)
        if unknown:
            raise ValueError(
                f"sample_domain has {shorten(map(repr, unknown))}, which fit has not learned for; the periods are "
                f"{shorten(map(repr, self.estimators_))}. Leave sample_domain out to predict for the newest."
            )
        answers = [answer(self.estimators_[name], take_rows(X, rows)) for name, rows in parts.items()]
        order = np.concatenate([*parts.values()])
        return np.concatenate(answers)[np.argsort(order, kind="stable")]

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        tags.array_api_support = False
        return tags
