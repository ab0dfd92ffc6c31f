"""A greedy ensemble of what was fitted anyway, taken only if it is ahead out of fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch

from sktl.advisor._tasks import Task

ROUNDS = 8
LEAST_ROWS = 40  # fewer tell nothing of weights


def greedy_weights(task: Task, outputs: Sequence[np.ndarray], rows: np.ndarray) -> list[int]:
    """Return how often each model enters the mean, by its worth on these rows (Caruana et al. 2004).

    The best model comes first; then, round by round, the one with which the mean becomes best, until none helps.
    """
    worth = [task.worth(one, rows) for one in outputs]
    chosen = [int(np.argmax(worth))]
    best, total = max(worth), outputs[chosen[0]].astype(np.float64)
    for _ in range(ROUNDS):
        tried = [task.worth((total + one) / (len(chosen) + 1), rows) for one in outputs]
        if max(tried) <= best:
            break
        chosen.append(int(np.argmax(tried)))
        best, total = max(tried), total + outputs[chosen[-1]]
    count = Counter(chosen)
    return [count[i] for i in range(len(outputs))]


def mean_of(outputs: Sequence[np.ndarray], weights: Sequence[int]) -> np.ndarray:
    """Return the weighted mean of outputs."""
    return np.average(np.stack(outputs), axis=0, weights=weights)


def out_of_sample(task: Task, outputs: Sequence[np.ndarray], rows: np.ndarray, seed: int) -> np.ndarray:
    """Return the ensemble's outputs, each half of the rows by weights that the other half has chosen."""
    order = np.random.default_rng(seed).permutation(rows)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    out = np.full(outputs[0].shape, np.nan)
    for own, other in (halves, halves[::-1]):
        out[own] = mean_of(outputs, greedy_weights(task, outputs, other))[own]
    return out


def voting(models: Sequence[tuple[str, Any]], weights: Sequence[int] | None, classes: np.ndarray | None) -> Any:
    """Return scikit-learn's vote of fitted models: mean probabilities, or mean values."""
    names, fitted = [name for name, _ in models], [model for _, model in models]
    weights = None if weights is None else list(weights)
    if classes is None:
        vote: Any = VotingRegressor(list(models), weights=weights)
    else:
        vote = VotingClassifier(list(models), voting="soft", weights=weights)
        vote.le_ = LabelEncoder().fit(classes)
        vote.classes_ = vote.le_.classes_
    vote.estimators_ = fitted
    vote.named_estimators_ = Bunch(**dict(zip(names, fitted)))
    return vote
