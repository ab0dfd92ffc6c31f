"""How long and in which batches to train: from the number of examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch

MAX_EPOCHS_OF_ROWS = 30  # feature rows are cheap
SMALL_BATCH = 16  # below it, statistics of a batch are too noisy for batch norm


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

    @property
    def n_epochs(self) -> int:
        """Epochs that training takes at most; the last one may be cut short."""
        return min(self.max_epochs, -(-self.max_steps // self.n_batches))


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
