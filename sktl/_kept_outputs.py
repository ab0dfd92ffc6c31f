"""A fitted estimator that is asked for the same outputs again and again, and computes them once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

OUTPUTS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "features")


@contextlib.contextmanager
def keeping_outputs(estimator: Any) -> Iterator[Any]:
    """Give a view of a fitted estimator that computes each output of the same rows once, as long as the block lasts.

    It is of the estimator's class and shares all that was learned. Rows are the same if they are the same object, which
    must not be written to meanwhile. In a pipeline what the last step is given is kept too. Only ask a view for
    outputs: what trains, copies or changes an estimator takes `original`. What is no estimator of scikit-learn's kind,
    and a view, are given as they are.
    """
    kept: list[_Once] = []
    try:
        yield _view(estimator, kept)
    finally:
        for once in kept:
            once.forget()


def original(estimator: Any) -> Any:
    """Return the estimator that a view is of; others come back as they are."""
    return getattr(estimator, "__dict__", {}).get("_kept_of", estimator)


def before_last(pipeline: Pipeline) -> Callable[[Any], Any]:
    """Return what makes of X what the last step of a pipeline is given."""
    if "_kept_before" in vars(pipeline):
        return vars(pipeline)["_kept_before"]
    before = pipeline[:-1]
    return before.transform if len(before) else lambda X: X


class _Once:
    """A function of X that computes its value for an object once."""

    def __init__(self, function: Callable[[Any], Any], kept: list[_Once], *, is_shared: bool = False):
        self._function = function
        self._is_shared = is_shared
        self.__name__ = getattr(function, "__name__", "outputs")  # which scikit-learn's scorers look at
        self._answers: dict[int, tuple[Any, Any]] = {}  # with the object, whose number is its own while it lives
        kept.append(self)

    def __call__(self, X: Any, **params: Any) -> Any:
        if params:
            return self._function(X, **params)
        if id(X) not in self._answers:
            self._answers[id(X)] = X, self._function(X)
        answer = self._answers[id(X)][1]
        if self._is_shared or not isinstance(answer, np.ndarray):
            return answer
        return answer.copy()  # what one caller writes into its answer does not reach the next

    def forget(self) -> None:
        """Give the memory back."""
        self._answers.clear()


def _view(estimator: Any, kept: list[_Once]) -> Any:
    if not isinstance(estimator, BaseEstimator) or original(estimator) is not estimator:
        return estimator
    view = object.__new__(type(estimator))
    own = view.__dict__
    own.update(vars(estimator), _kept_of=estimator)
    if isinstance(estimator, BaseSearchCV):
        if hasattr(estimator, "best_estimator_"):  # which answers for the search
            own["best_estimator_"] = _view(estimator.best_estimator_, kept)
        return view
    if type(estimator) is Pipeline:
        _keep_pipeline(estimator, own, kept)
        return view
    if hasattr(view, "_of_one_pass"):
        both = _Once(partial(_features_and_logits, estimator), kept, is_shared=True)
        own["_outputs"] = lambda X, *, features=False: both(X)[0 if features else 1].copy()
    elif hasattr(view, "_outputs"):
        own["_outputs"] = _Once(view._outputs, kept)
    for name in OUTPUTS:
        method = getattr(view, name, None)
        if callable(method):
            own[name] = _Once(method, kept)
    return view


def _features_and_logits(estimator: Any, X: Any) -> tuple[np.ndarray, ...]:
    return estimator._of_one_pass(X, "features", "logits")


def _keep_pipeline(pipeline: Pipeline, own: dict[str, Any], kept: list[_Once]) -> None:
    name, last = pipeline.steps[-1]
    if len(pipeline.steps) < 2 or not isinstance(last, BaseEstimator):
        return
    last, before = _view(last, kept), _Once(pipeline[:-1].transform, kept, is_shared=True)
    own |= {"steps": [*pipeline.steps[:-1], (name, last)], "_kept_before": before}
    for output in OUTPUTS:
        whole = getattr(pipeline, output, None)
        if callable(whole):
            own[output] = _behind(before, getattr(last, output), whole)


def _behind(before: _Once, last: Callable[..., Any], whole: Callable[..., Any]) -> Callable[..., Any]:
    def output(X: Any, **params: Any) -> Any:
        return whole(X, **params) if params else last(before(X))

    output.__name__ = last.__name__
    return output
