"""What adversarial losses share: the reversed gradient, its warm-up, and the discriminator."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient * -ctx.factor, None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Return `x`; its gradient is multiplied by ``-factor`` (Ganin and Lempitsky 2015)."""
    return _Reverse.apply(x, factor)


def warm_up(progress: float, steepness: float = 10.0) -> float:
    """Return the factor that grows from 0 to 1 over the training (Ganin et al. 2016)."""
    # 2 / (1 + exp(-10 p)) - 1
    return 2.0 / (1.0 + math.exp(-steepness * progress)) - 1.0


def domain_loss(logits: Tensor, n_source: int, row_weights: Tensor | None = None) -> Tensor:
    """Return the binary cross entropy of telling source rows (label 1) from target rows (label 0).

    Each domain counts for half, whatever its number of rows.

    Parameters
    ----------
    logits : Tensor (n,)
        Of the source rows, then the target rows.
    n_source : int
        Number of source rows.
    row_weights : Tensor (n,), optional
        Weights, normalised within each domain.
    """
    # 1/2 E_s[log(1 + e^-z)] + 1/2 E_t[log(1 + e^z)]
    of_source, of_target = F.softplus(-logits[:n_source]), F.softplus(logits[n_source:])
    if row_weights is None:
        return (of_source.mean() + of_target.mean()) / 2
    source, target = row_weights[:n_source], row_weights[n_source:]
    return ((of_source * source).sum() / source.sum() + (of_target * target).sum() / target.sum()) / 2


class Discriminator(nn.Sequential):
    """Features to one logit: is this row from the source? Two hidden layers with dropout."""

    def __init__(self, n_features: int, n_hidden: int, dropout: float = 0.0):
        layers: list[nn.Module] = []
        for n_in in (n_features, n_hidden):
            layers += [nn.Linear(n_in, n_hidden), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(n_hidden, 1), nn.Flatten(0))
