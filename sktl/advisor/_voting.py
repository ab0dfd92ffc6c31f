"""scikit-learn's vote, of models that have been fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch


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
