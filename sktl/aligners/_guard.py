"""A step of a pipeline that would take the mark of unlabelled rows for one more class is found before it learns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType, MethodType
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.feature_selection import SelectorMixin, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import _BaseComposition

from sktl._unlabelled import as_labels, is_labelled, is_missing

# A pipeline hands the same y to all its steps, and no step is told what stands behind it. So the pipelines that are
# fitting an aligner are found in the calls that led to it: errors come before the classifier has learned anything.
LIBRARIES = ("sktl.", "sklearn.", "joblib.", "imblearn.", "pickle")


def check_steps_leave_out(marked: np.ndarray, y: np.ndarray, name: str) -> None:
    """Raise where a pipeline that is being fitted has a step that would learn from rows without a label.

    Parameters
    ----------
    marked : ndarray of bool, shape (n,)
        Which rows the aligner takes for unlabelled.
    y : ndarray of shape (n,)
        Labels, as `as_labels` returns them.
    name : str
        The aligner's class.

    Raises
    ------
    ValueError
        With the step's name, and what to write instead.
    """
    if not marked.any():
        return
    for pipeline in _pipelines_being_fitted():
        for step_name, step in _steps(pipeline):
            if _learns_from(step, marked, y):
                raise ValueError(_message(step_name, step, y[marked][0], name))


class watched:  # noqa: N801
    """A method `fit` that is looked for around where it is looked up, too.

    Unions with several workers fit their parts in threads or processes, whose calls lead to no pipeline. Before that
    they look up `fit` where the pipeline called them.

    Parameters
    ----------
    fit : function
        The method.
    """

    def __init__(self, fit: Any):
        self.fit = fit
        self.__doc__ = fit.__doc__

    def __get__(self, aligner: Any, kind: Any = None) -> Any:
        """Return the method of an aligner."""
        if aligner is None:
            return self.fit
        _check_around_union(aligner)
        return MethodType(self.fit, aligner)


def _check_around_union(aligner: Any) -> None:
    is_in_union = False
    for frame in _calls():
        owner = frame.f_locals.get("self")
        if isinstance(owner, Pipeline) and frame.f_locals.get("y") is not None:
            if is_in_union:
                try:
                    labels = as_labels(frame.f_locals["y"])
                except (ValueError, TypeError):  # no column of labels: `fit` says so
                    return
                check_steps_leave_out(~is_labelled(labels, aligner.unlabelled), labels, type(aligner).__name__)
            return
        is_in_union = is_in_union or (isinstance(owner, _BaseComposition) and not isinstance(owner, Pipeline))


def marks_among(marked: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the labels that mark rows, each once."""
    found = y[marked]
    return found[np.sort(np.unique(found.astype(str), return_index=True)[1])]


def _calls() -> Iterator[FrameType]:
    """Yield the calls that led here, up to the user's own code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_globals.get("__name__") or "").startswith(LIBRARIES):
        yield frame
        frame = frame.f_back


def _pipelines_being_fitted() -> list[Pipeline]:
    """Return the pipelines among these calls."""
    found: list[Pipeline] = []
    for frame in _calls():
        owner = frame.f_locals.get("self")
        if isinstance(owner, Pipeline) and not any(owner is other for other in found):
            found.append(owner)
    return found


def _steps(pipeline: Pipeline) -> list[tuple[str, Any]]:
    """Return the steps by name, those of pipelines inside too."""
    found = []
    for name, step in pipeline.steps:
        if isinstance(step, Pipeline):
            found += [(f"{name}__{inner}", one) for inner, one in _steps(step)]
        elif step is not None and not isinstance(step, str):
            found.append((name, step))
    return found


def _learns_from(step: Any, marked: np.ndarray, y: np.ndarray) -> bool:
    """Whether a step learns from y, and takes a marked row for a labelled one."""
    if isinstance(step, (BaseSearchCV, SelectorMixin)) and hasattr(step, "estimator"):
        return _learns_from(step.estimator, marked, y)
    if isinstance(step, Pipeline):
        return any(_learns_from(one, marked, y) for _, one in _steps(step))
    if isinstance(step, FrozenEstimator) or not _needs_y(step):
        return False
    if type(step).__module__.startswith("sklearn.semi_supervised."):  # -1 marks there too
        return False
    if not hasattr(step, "unlabelled"):
        return True
    if is_regressor(step):
        return bool((marked & ~is_missing(y)).any())
    return step.unlabelled is None or bool((marked & is_labelled(y, step.unlabelled)).any())


def _needs_y(step: Any) -> bool:
    if isinstance(step, SelectorMixin):  # whose tags do not say so
        return not isinstance(step, VarianceThreshold)
    try:
        return bool(get_tags(step).target_tags.required or is_classifier(step) or is_regressor(step))
    except Exception:  # not made on scikit-learn's base class; nothing is known of it
        return hasattr(step, "predict")


def _message(step_name: str, step: Any, mark: Any, aligner: str) -> str:
    kind, mark = type(step).__name__, mark.item() if isinstance(mark, np.generic) else mark
    if is_regressor(step):
        return (
            f"The step {step_name!r}, {kind}, would learn {mark!r} as a value: it is the mark of unlabelled rows for "
            f"{aligner}, which stands in the same pipeline. Mark these rows with NaN, and write "
            f"LabelledOnly({kind}(...)), of sktl.aligners. If {mark!r} is a value, set unlabelled=None in {aligner} "
            "and name the domains in sample_domain."
        )
    if hasattr(step, "unlabelled"):
        return (
            f"The step {step_name!r}, {kind}, would learn {mark!r} as a class, for it has unlabelled="
            f"{step.unlabelled!r}, but {aligner} in the same pipeline takes it for the mark of unlabelled rows. Set "
            "the same unlabelled in both."
        )
    return (
        f"The step {step_name!r}, {kind}, would learn {mark!r} as a class: it is the mark of unlabelled rows for "
        f"{aligner}, which stands in the same pipeline. Write LabelledOnly({kind}(...)), of sktl.aligners, which keeps "
        f"these rows from it. If {mark!r} is a class, set unlabelled=None in {aligner} and name the domains in "
        "sample_domain."
    )
