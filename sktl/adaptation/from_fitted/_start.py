"""Where adaptation without source rows starts: a fitted classifier, and the rows to adapt to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_method_params, check_is_fitted
from torch import nn

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._columns import check_length
from sktl._estimator import OpenNetwork
from sktl._progress import fitted_in_task
from sktl._unlabelled import as_labels, is_labelled, known_labels, warn_of_negatives, warn_of_three_way_labels

FIT_FIRST = (
    "Fit it, wrap it in sklearn.frozen.FrozenEstimator where it will be cloned (in cross-validation or a grid search), "
    "or pass labelled source rows in y too: an estimator that is not fitted learns from them first."
)


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator has learned."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


@dataclass(frozen=True)
class Given:
    """What `fit` was given.

    Attributes
    ----------
    X : array-like or sequence
        All rows.
    labels : array or None
        y.
    labelled : array of int
        Rows that an estimator learns from which is not fitted yet; none for a fitted one.
    rows : array of int
        Rows to adapt to: the unlabelled ones, or all if none is marked.
    """

    X: Any
    labels: np.ndarray | None
    labelled: np.ndarray
    rows: np.ndarray

    @classmethod
    def checked(cls, estimator: Any, X: Any, y: Any, unlabelled: Any, name: str) -> Given:
        """Return what was given.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted and there is no label to fit it by.
        """
        n = n_rows(X)
        labels = None if y is None else as_labels(y)
        has_label = np.zeros(n, dtype=bool)
        if labels is not None:
            check_length(labels, n, "y")
            has_label = is_labelled(labels, unlabelled)
            if is_fitted(estimator) or not hasattr(_last(estimator), "unlabelled"):  # which says so itself
                warn_of_negatives(known_labels(labels, has_label), unlabelled)
                warn_of_three_way_labels(labels, has_label, unlabelled)
        rows = np.flatnonzero(~has_label) if not has_label.all() else np.arange(n)
        if is_fitted(estimator):
            return cls(X, labels, np.array([], dtype=np.intp), rows)
        held = type(unwrapped(estimator)).__name__
        if isinstance(estimator, FrozenEstimator):
            raise NotFittedError(f"The {held} in the FrozenEstimator of this {name} is not fitted. Fit it first.")
        if labels is None:
            raise NotFittedError(
                f"This {name} requires y to be passed, but the target y is None, and its {held} is not fitted. "
                f"{FIT_FIRST}"
            )
        if not has_label.any():
            raise NotFittedError(
                f"The {held} in this {name} is not fitted, and y holds no label to fit it by: all {n} rows are "
                f"{unlabelled!r} or missing, which means unlabelled. {FIT_FIRST}"
            )
        return cls(X, labels, np.flatnonzero(has_label), rows)

    @property
    def target(self) -> Any:
        """The rows to adapt to."""
        return chosen(self.X, self.rows)

    @property
    def learns_source(self) -> bool:
        """Whether the estimator learns the labelled rows first."""
        return self.labels is not None and len(self.labelled) > 0

    def fitted(
        self, estimator: Any, meta: Any = None, context: Any = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        """Return a fitted estimator as it is, or a clone of another one that has learned the labelled rows.

        Its fit is then the first task of the meta-estimator's callback `context`; `params` are further arguments of
        it, of which it is given the labelled rows'.
        """
        if not self.learns_source:
            return estimator
        assert self.labels is not None
        rows, labels = chosen(self.X, self.labelled), known_labels(self.labels, self.labelled)
        source = seeded(clone(estimator), getattr(meta, "random_state", None))
        params = _check_method_params(self.X, params or {}, indices=self.labelled)
        if context is None:
            return source.fit(rows, labels, **params)
        return fitted_in_task(source, rows, labels, meta=meta, context=context, name="source", **params)


def seeded(estimator: Any, random_state: Any) -> Any:
    """Give an estimator, and those inside it, seeds drawn from `random_state`, where they have none of their own."""
    if random_state is None:
        return estimator
    rng = check_random_state(random_state)
    names = sorted(name for name in estimator.get_params(deep=True) if name.rpartition("__")[2] == "random_state")
    seeds = {name: int(rng.randint(2**31 - 1)) for name in names}
    params = estimator.get_params(deep=True)
    return estimator.set_params(**{name: seed for name, seed in seeds.items() if params[name] is None})


def chosen(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of X, and X itself for all of them."""
    if len(rows) == n_rows(X) and (np.diff(rows) == 1).all():
        return X
    return take_rows(X, rows)


def unwrapped(estimator: Any) -> Any:
    """Return what a FrozenEstimator holds."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def _last(estimator: Any) -> Any:
    """Return the classifier itself, the last step of a pipeline."""
    held = unwrapped(estimator)
    return unwrapped(held[-1]) if isinstance(held, Pipeline) else held


@dataclass(frozen=True)
class Start:
    """A fitted classifier whose network can be adapted, and the fitted steps before it in a pipeline.

    Attributes
    ----------
    before : Pipeline or None
        The steps that rows go through first; they stay as they are.
    classifier : estimator
        See `OpenNetwork`.
    """

    before: Pipeline | None
    classifier: Any

    @classmethod
    def of(cls, estimator: Any) -> Start | None:
        """Return the parts of a fitted estimator, or None if it has no network of ours."""
        held, before = unwrapped(estimator), None
        if isinstance(held, Pipeline):
            before = held[:-1] if len(held) > 1 else None
            held = unwrapped(held[-1])
        return cls(before, held) if hasattr(held, "_open") and is_classifier(held) else None

    def open(self) -> OpenNetwork:
        """Return a copy of the network."""
        return self.classifier._open()

    def read(self, X: Any) -> Any:
        """Return what the network takes: a table of numbers, or a source of pictures."""
        X = rows_on_host(X)
        return self.classifier._read(X if self.before is None else self.before.transform(X))

    def closed(self, module: nn.Module) -> Any:
        """Return a fitted estimator that predicts by the changed module, which it takes over."""
        classifier = self.classifier._closed(module)
        if self.before is None:
            return classifier
        return Pipeline([*self.before.steps, ("adapted", classifier)])


def network_start(estimator: Any, name: str) -> Start:
    """Return the parts of a fitted estimator.

    Raises
    ------
    TypeError
        If it has no network that can be adapted.
    """
    start = Start.of(estimator)
    if start is None:
        raise TypeError(
            f"{name} changes a network: estimator must be a FineTunedClassifier or a DomainAdaptedClassifier, or a "
            f"Pipeline that ends in one; got {type(_last(estimator)).__name__}. GradualAdaptedClassifier takes any "
            "classifier."
        )
    return start
