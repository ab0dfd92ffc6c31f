"""What "auto" means for the loss, the network and the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sklearn.base import is_classifier

from sktl.adaptation.losses import DomainLoss, get_losses

BOTTLENECK = 256
LOSS, LOSS_OF_ROWS = "cdan+e", "mcc"


class Options(NamedTuple):
    """Parameters without "auto"."""

    loss: Any
    losses: list[DomainLoss]
    bottleneck: int | None
    optimizer: str | Callable
    starts_linear: bool  # the library's own network for rows, from the solved head on
    is_own: bool  # the library chooses the network for rows


def resolve(estimator: Any, *, is_own: bool) -> Options:
    """Return what the parameters mean; `is_own` where the library chooses the network for rows.

    A classifier's losses that look at predictions alone go on from the linear model. Those that align features need
    features that are free to move: they begin with random layers and a bottleneck. A regression always goes on from it:
    beside its columns it has hidden units that may move.
    """
    e = estimator
    loss = (LOSS_OF_ROWS if is_own else LOSS) if isinstance(e.loss, str) and e.loss == "auto" else e.loss
    losses = get_losses(loss)
    is_class = is_classifier(estimator)
    starts_linear = is_own and e.bottleneck == "auto" and not (is_class and any(one.aligns_features for one in losses))
    bottleneck = e.bottleneck
    if bottleneck == "auto":
        bottleneck = None if starts_linear else BOTTLENECK
    optimizer = e.optimizer
    if isinstance(optimizer, str) and optimizer == "auto":
        optimizer = "adam" if starts_linear and is_class else "sgd"
    return Options(loss, losses, None if bottleneck is None else int(bottleneck), optimizer, starts_linear, is_own)
