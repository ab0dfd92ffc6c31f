"""What a classifier learns where nothing adapts it: the labelled rows, and nothing else."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone

from sktl._array_api import take_rows

QUIET = "No row is unlabelled|There is no target row|No labelled rows|No row is a source row"


def fitted_without_target(estimator: Any, X: Any, labels: np.ndarray, rows: np.ndarray) -> Any:
    """Return a clone that has learned the labelled rows alone.

    An estimator that knows the unlabelled mark and finds none learns as if it adapted nothing: an aligner leaves rows
    as they are, a reweighter weighs them alike, a loss between domains has no second one. No name of a target is left,
    since no row of it is there.

    Parameters
    ----------
    estimator : classifier
        Not changed.
    X : array-like of n rows
        All rows.
    labels : ndarray of shape (n,)
        All labels.
    rows : ndarray of int
        Which rows are learned; they have labels.
    """
    plain = clone(estimator)
    named = {name: None for name in plain.get_params(deep=True) if re.fullmatch(r"(.*__)?target_domain", name)}
    if named:
        plain.set_params(**named)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=QUIET, category=UserWarning)
        return plain.fit(take_rows(X, rows), labels[rows])


def outputs(estimator: Any, X: Any, classes: np.ndarray) -> np.ndarray:
    """Return probabilities of these classes, (n, n_classes), float64; of one without any, 1 for what it predicts."""
    if hasattr(estimator, "predict_proba"):
        found = np.asarray(estimator.predict_proba(X), dtype=np.float64)
        own = np.asarray(estimator.classes_)
    else:
        predicted = np.asarray(estimator.predict(X))
        own = classes
        found = (predicted[:, None] == classes).astype(np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{type(estimator).__name__} gave probabilities that are NaN or infinite.")
    if len(own) == len(classes):
        return found
    out = np.zeros((len(found), len(classes)))
    out[:, np.searchsorted(classes, own)] = found
    return out
