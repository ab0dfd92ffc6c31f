"""Keeping the epoch that a scorer finds best."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback


class KeepBest(Callback):
    """Scores the estimator after each epoch, and holds a copy of the best network.

    Parameters
    ----------
    fitted : callable() -> estimator
        The estimator as if training had stopped here.
    scorer : callable(estimator, X, y) -> float
        Higher is better; y holds the unlabelled mark.
    X, y
        As given to fit.
    """

    never_stops = True  # an interrupt while it scores is the user's

    def __init__(self, fitted: Callable[[], Any], scorer: Callable[[Any, Any, Any], float], X: Any, y: Any):
        self.fitted = fitted
        self.scorer = scorer
        self.X = X
        self.y = y
        self.best_score = -math.inf
        self.best_epoch = 0
        self.best_network: Any = None

    def on_epoch_end(self, net, **kwargs):
        """Score, and keep what is better than all before."""
        score = float(self.scorer(self.fitted(), self.X, self.y))
        if math.isnan(score):
            raise ValueError(f"selection={self.scorer!r} returned NaN at epoch {len(net.history)}.")
        net.history.record("selection_score", score)
        if score > self.best_score:
            self.best_score, self.best_epoch = score, len(net.history)
            self.best_network = copy.deepcopy(net.module.network)
