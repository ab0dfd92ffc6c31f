"""A target's accuracy from how often another classifier, of another kind, says the same there."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier

from sktl._array_api import n_rows
from sktl.safety._referees import N_TREES, leading, nearest_aligned


def accuracy_by_agreement(is_right: np.ndarray, in_source: np.ndarray, in_target: np.ndarray) -> float:
    """Return the source's accuracy, times by what share a referee agrees less often in the target.

    Parameters
    ----------
    is_right : array-like of bool, shape (n_source,)
        Whether the classifier is right in each held-out source row.
    in_source, in_target : array-like of bool or float, shape (n_source,) and (n_target,)
        Whether the referee gives the classifier's label; between 0 and 1 where two referees differ.
    """
    # a_t = a_s g_t / g_s
    agrees = float(np.mean(in_source))
    if not agrees:
        return 0.0
    return float(np.clip(np.mean(is_right) * np.mean(in_target) / agrees, 0, 1))


def agreements(
    source: Any,
    y: np.ndarray,
    predicted: np.ndarray,
    target: Any,
    predicted_there: np.ndarray,
    random_state: int,
    overlap: float,
    learned: tuple[Any, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far referees give the classifier's label in held-out source rows and in target rows.

    In the source it is a forest. In the target it is that one where domains overlap, and the nearest source rows
    between aligned domains where they do not, as a forest is lost there. Without other rows the forest learns the
    held-out ones, and each of them is judged by the trees that have not learned it. With fewer than two classes there
    is nothing to learn: it agrees in the source, and in no target row.

    Parameters
    ----------
    source, y, predicted : array or sparse matrix of n_source rows, and ndarrays of shape (n_source,)
        Held-out rows, their labels, and the classifier's.
    target, predicted_there : array or sparse matrix of n_target rows, and ndarray of shape (n_target,)
        Rows of the target, and the classifier's labels.
    random_state : int
        Of the forest.
    overlap : float
        How alike the domains' rows are, from 0 to 1.
    learned : tuple of rows and labels, default=None
        Other source rows, which the forest learns.
    """
    parts = [source, target] if learned is None else [source, target, learned[0]]
    if sparse.issparse(source):
        both = leading(sparse.vstack(parts))
        parts = np.split(both, np.cumsum([n_rows(part) for part in parts])[:-1])
    parts = [np.asarray(part, dtype=np.float64) for part in parts]
    labels = y if learned is None else learned[1]
    if len(np.unique(labels)) < 2:
        return np.ones(len(y), dtype=bool), np.zeros(len(predicted_there), dtype=bool)
    rows = parts[0] if learned is None else parts[2]
    forest = RandomForestClassifier(N_TREES, oob_score=learned is None, random_state=random_state).fit(rows, labels)
    if learned is None:
        said = forest.classes_[np.nan_to_num(forest.oob_decision_function_).argmax(axis=1)]
    else:
        said = forest.predict(parts[0])
    # g_t = sqrt(o) g_forest + (1 - sqrt(o)) g_aligned
    weight = np.sqrt(overlap)
    there = weight * (forest.predict(parts[1]) == predicted_there)
    return said == predicted, there + (1 - weight) * (nearest_aligned(rows, labels, parts[1]) == predicted_there)
