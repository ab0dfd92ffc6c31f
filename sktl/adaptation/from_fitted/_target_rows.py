"""The target's rows on their way through a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktl._device import autocast
from sktl._estimator import OpenNetwork
from sktl.adaptation._batches import DomainBatches, Layout, taker
from sktl.adaptation._row_changes import change_for

BATCH, PRETRAINED_BATCH = 64, 32
PASSED_ROWS = 256  # at once, where nothing is trained
LEAST_STEPS = 20  # an epoch, where the user leaves it open


RESOLVED = (
    "learning_rate_", "batch_size_", "steps_per_epoch_", "max_epochs_", "augment_", "n_trained_", "n_parameters_",
)  # fmt: skip


def check_batch(n_rows: int, asked: int | str, name: str, least: int = 2) -> None:
    """Raise a ValueError if there are fewer rows than a batch holds, `least` of them at least."""
    wanted = least if asked == "auto" else int(asked)
    if n_rows < wanted:
        raise ValueError(
            f"Found array with {n_rows} sample(s), fewer than the {wanted} of a batch: {name} adapts to what target "
            "rows have in common. Pass more rows, or a batch_size of at most their number (2 at least)."
        )


class TargetRows:
    """Rows or pictures of the target, in memory where they fit.

    Parameters
    ----------
    data : array, CSR matrix or PictureSource
        As the classifier's ``_read`` returns them.
    network : OpenNetwork
        That takes them.
    device : torch.device
        Where batches live.
    n_jobs : int or None
        Threads that decode pictures.
    """

    def __init__(self, data: Any, network: OpenNetwork, device: torch.device, n_jobs: int | None = None):
        self.network = network
        self.device = device
        self.n_rows = data.shape[0] if network.preprocessing is None else len(data)
        self._take: Any = taker(data, network.preprocessing, network.n_channels, n_jobs, device)

    def batch_size(self, asked: int | str, name: str, least: int = 2) -> int:
        """Return the rows of a batch; "auto" is 64, 32 for a pretrained network, or all rows if there are fewer."""
        check_batch(self.n_rows, asked, name, least)
        if asked != "auto":
            return int(asked)
        return min(PRETRAINED_BATCH if self.network.is_pretrained else BATCH, self.n_rows)

    def in_order(self, size: int) -> Iterator[Tensor]:
        """Yield all rows once, in even batches of at least `size` rows (or all of them)."""
        n_batches = max(1, self.n_rows // size)
        size, rest = divmod(self.n_rows, n_batches)
        order = torch.arange(self.n_rows)
        larger = rest * (size + 1)
        if rest:
            yield from self._take(order[:larger].reshape(rest, size + 1))
        yield from self._take(order[larger:].reshape(n_batches - rest, size))

    def batches(
        self, labels: Tensor, size: int, *, steps_per_epoch: int | str, max_epochs: int, augment: Any, seed: int
    ) -> DomainBatches:  # fmt: skip
        """Return training batches of all rows with their labels, which may be changed between epochs."""
        n_steps = max(-(-self.n_rows // size), LEAST_STEPS) if steps_per_epoch == "auto" else int(steps_per_epoch)
        return DomainBatches(
            self._take, labels.to(self.device), None, [(np.arange(self.n_rows), size)], Layout((size,), 0, 0),
            n_batches=n_steps, n_epochs=max_epochs, device=self.device, seed=seed,
            change=change_for(augment, is_rows=self.network.preprocessing is None),
        )  # fmt: skip

    @torch.no_grad()
    def passed(self, function: Callable[[Tensor], Any]) -> list[Any]:
        """Return what `function` makes of all rows, batch by batch, with the network in evaluation mode."""
        self.network.module.eval()
        with autocast(self.device, self.network.dtype):
            return [function(batch) for batch in self.in_order(PASSED_ROWS)]


def resolved(
    network: OpenNetwork, learning_rate: float, batch_size: int, batches: DomainBatches, max_epochs: int, augment: Any
) -> dict[str, Any]:
    """Return what "auto" became, as fitted attributes."""
    parameters = list(network.module.parameters())
    return {
        "learning_rate_": learning_rate, "batch_size_": batch_size, "steps_per_epoch_": len(batches),
        "max_epochs_": max_epochs, "augment_": augment,
        "n_trained_": sum(p.numel() for p in parameters if p.requires_grad),
        "n_parameters_": sum(p.numel() for p in parameters),
    }  # fmt: skip


def rate_groups(
    network: OpenNetwork, learning_rate: float, body_share: float, *, but: nn.Module | None = None
) -> list[dict[str, Any]]:
    """Return the parameters to train, those of a pretrained body at a share of the rate, those of `but` left out."""
    of_body = {id(parameter) for parameter in network.body}
    left_out = set() if but is None else {id(parameter) for parameter in but.parameters()}
    rest = [p for p in network.module.parameters() if id(p) not in of_body | left_out]
    body = [p for p in network.body if id(p) not in left_out]
    rates = (learning_rate, learning_rate * (body_share if network.is_pretrained else 1.0))
    return [{"params": p, "lr": rate} for p, rate in zip((rest, body), rates) if p]
