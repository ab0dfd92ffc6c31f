"""Keeping the epoch that a scorer finds best."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

from skorch.callbacks import Callback
from torch import nn

from sktl.training import as_tensors


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
    kept : dict, optional
        Holds what has been best, as `restore` takes it.
    """

    never_stops = True  # an interrupt while it scores is the user's

    def __init__(
        self,
        fitted: Callable[[], Any],
        scorer: Callable[[Any, Any, Any], float],
        X: Any,
        y: Any,
        kept: dict[str, Any] | None = None,
    ):
        self.fitted = fitted
        self.scorer = scorer
        self.X = X
        self.y = y
        self.best_score = -math.inf
        self.best_epoch = 0
        self.best_network: Any = None
        self.kept: dict[str, Any] = {} if kept is None else kept

    def restore(self, kept: Mapping[str, Any], network: nn.Module) -> None:
        """Go on from what an earlier training has kept; `network` is as it was built.

        Raises
        ------
        ValueError
            If it does not fit.
        """
        if not kept:
            return
        if set(kept) != {"score", "epoch", "network"} or not (
            isinstance(kept["score"], float) and math.isfinite(kept["score"])
            and type(kept["epoch"]) is int and kept["epoch"] > 0
        ):  # fmt: skip
            raise ValueError("the best epoch is not all there")
        self.best_score, self.best_epoch = kept["score"], kept["epoch"]
        self.best_network = copy.deepcopy(network)
        self.best_network.load_state_dict(as_tensors(kept["network"]))
        self.kept.update(kept)

    def on_epoch_end(self, net, **kwargs):
        """Score, and keep what is better than all before."""
        score = float(self.scorer(self.fitted(), self.X, self.y))
        if net.processes is not None:
            score = net.processes.agreed(score)  # a scorer may draw
        if math.isnan(score):
            raise ValueError(f"selection={self.scorer!r} returned NaN at epoch {len(net.history)}.")
        net.history.record("selection_score", score)
        if score > self.best_score:
            self.best_score, self.best_epoch = score, len(net.history)
            self.best_network = copy.deepcopy(net.module.network)
            values = {name: value.detach().clone() for name, value in self.best_network.state_dict().items()}
            self.kept.update(score=score, epoch=self.best_epoch, network=values)
