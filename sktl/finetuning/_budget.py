"""How long and in which batches to train: from the number of examples."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

SHORT_EPOCHS = 3  # where all that training could gain would be noise
CURABLE = 0.25  # of the errors of the head that training starts from: what it takes away where pictures are unlike
MAX_EPOCHS_OF_ROWS = 30  # feature rows are cheap
SMALL_BATCH = 16  # below it, statistics of a batch are too noisy for batch norm
FEW_STEPS = 200  # below it, running statistics (momentum 0.1) lag behind the weights that change under them


@dataclass(frozen=True)
class Budget:
    """Rows a batch, batches an epoch, and the bounds of training.

    Attributes
    ----------
    batch_size, n_batches : int
        Of an epoch.
    max_epochs, max_steps : int
        Training ends at whichever comes first.
    """

    batch_size: int
    n_batches: int
    max_epochs: int
    max_steps: int

    def shortened(self) -> Budget:
        """Return the budget of a training that goes not far."""
        return dataclasses.replace(self, max_epochs=min(self.max_epochs, SHORT_EPOCHS))

    @property
    def n_epochs(self) -> int:
        """Epochs that training takes at most; the last one may be cut short."""
        return min(self.max_epochs, -(-self.max_steps // self.n_batches))

    @property
    def n_steps(self) -> int:
        """Updates that training takes at most."""
        return min(self.max_steps, self.max_epochs * self.n_batches)

    @property
    def freezes_bn(self) -> bool:
        """Whether a batch has too few rows, or training too few updates, for batch norm to learn new statistics.

        Seen on digits at 32 pixels: 40 updates of 25 pictures with moving statistics took LP-FT from 55 % to 14 %.
        """
        return self.batch_size < SMALL_BATCH or self.n_steps < FEW_STEPS


def is_within_noise(error: float, n: int) -> bool:
    """Whether what training could gain is less than the noise of the head's error, as rows left out show it.

    Parameters
    ----------
    error : float
        Share of the rows that the solved head gets wrong when they are left out; NaN is False.
    n : int
        Rows that differ.
    """
    # e = (k + 1/2) / (n + 1),   v = e (1 - e) up to e = 1/2, and from there on 1/4:   e / 4 < sqrt(v / n)
    e = (error * n + 0.5) / (n + 1)
    return CURABLE * e < math.sqrt(min(e, 0.5) * max(1 - e, 0.5) / n)


def hyper_rule(n_rows: int) -> int:
    """Return the number of updates by BiT's HyperRule (Kolesnikov et al. 2020, section 3.3)."""
    # fewer than 20,000 examples: 500 steps; fewer than 500,000: 10,000; else 20,000
    if n_rows < 20_000:
        return 500
    return 10_000 if n_rows < 500_000 else 20_000


def budget_for(
    n_rows: int,
    *,
    device: torch.device,
    is_rows: bool,
    batch_size: int | str,
    max_epochs: int | str,
    max_steps: int | None,
    strategy_epochs: int,
) -> Budget:
    """Return the budget of a training: what the user leaves open goes by the number of examples.

    The steps are BiT's, but never more than `max_epochs` passes through the data, so that small sets on a CPU take
    seconds: BiT's 500 steps of 512 pictures were meant for accelerators. A batch is a quarter of the data (a
    sixteenth of feature rows), from 4 up to 32 (64 on an accelerator and for feature rows), so that the smallest sets
    still get several updates an epoch.
    """
    if batch_size == "auto":
        most = 64 if is_rows or device.type != "cpu" else 32
        size = min(max(n_rows // (16 if is_rows else 4), 4), most)
    else:
        size = int(batch_size)
    size = min(size, n_rows)
    if max_epochs == "auto":
        max_epochs = max(strategy_epochs, MAX_EPOCHS_OF_ROWS) if is_rows else strategy_epochs
    steps = hyper_rule(n_rows) if max_steps is None else int(max_steps)
    return Budget(size, -(-n_rows // size), int(max_epochs), steps)
