"""Batch norm with two domains in one batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sktl.adaptation._moments import Moments, norms_of


class Split:
    """How many rows of the batch on its way are source rows; None means that domains are not told apart."""

    def __init__(self) -> None:
        self.n_source: int | None = None


class DomainBatchNorm(nn.Module):
    """Normalises each domain's rows by their own statistics in training, and by the target's in prediction.

    Scale and shift are common.
    """

    def __init__(self, norm: _BatchNorm, split: Split):
        super().__init__()
        self.norm = norm
        self.split = split

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised rows, source rows first."""
        n_source = self.split.n_source
        if not self.training or not n_source or n_source == len(x):
            return self.norm(x)
        norm = self.norm
        source = F.batch_norm(x[:n_source], None, None, norm.weight, norm.bias, True, 0.0, norm.eps)
        return torch.cat([source, norm(x[n_source:])])


def separate(module: nn.Module, split: Split) -> None:
    """Put a `DomainBatchNorm` in the place of each batch norm within `module`."""
    for name, child in list(module.named_children()):
        if isinstance(child, _BatchNorm):
            setattr(module, name, DomainBatchNorm(child, split))
        else:
            separate(child, split)


@torch.no_grad()
def estimate_statistics(module: nn.Module, batches: Iterable[Any]) -> None:
    """Replace the running statistics of all batch norms by those over `batches` (Li et al. 2017, AdaBN)."""
    norms = norms_of(module)
    moments = Moments(norms)
    for norm in norms:
        norm.train()
    try:
        with moments.listening(norms):
            for batch in batches:
                module(batch)
    finally:
        for norm in norms:
            norm.eval()
    moments.write(norms)
