"""How long a training lasts."""

from __future__ import annotations

import dataclasses
from typing import Any

from sktl.adaptation.joint._network import Plan

LEAST_UPDATES = 300  # for feature rows, where the user leaves the length of training open


@dataclasses.dataclass(frozen=True)
class Budget:
    """Rows of each domain in a batch, batches an epoch, and epochs."""

    batch_size: int
    steps_per_epoch: int
    max_epochs: int


def budget_for(estimator: Any, n_largest: int, plan: Plan) -> Budget:
    """Return how long to train: what the user leaves open goes by the largest part of the data."""
    if estimator.batch_size == "auto":
        size = 32 if plan.is_pretrained else 64
    else:
        size = min(int(estimator.batch_size), n_largest)  # no row of the largest part twice
    steps = -(-n_largest // size) if estimator.steps_per_epoch == "auto" else int(estimator.steps_per_epoch)
    epochs = (10 if plan.is_pretrained else 20) if estimator.max_epochs == "auto" else int(estimator.max_epochs)
    if plan.is_own and estimator.max_epochs == "auto" and estimator.steps_per_epoch == "auto":
        epochs = max(epochs, -(-LEAST_UPDATES // steps))
    return Budget(size, steps, epochs)
