"""What networks are told of a support set: its targets as vectors, in an order, on a scale."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from sktl.fewshot.heads import one_hot


class ValueScale(nn.Module):
    """Brings the values of regressions to mean 0 and standard deviation 1, and outputs back; leaves logits alone.

    Parameters
    ----------
    n_outputs : int
        Values a row.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_outputs: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_outputs))
        self.register_buffer("std", torch.ones(n_outputs))

    def learn(self, values: Tensor) -> None:
        """Take mean and standard deviation from the values (n, n_outputs) of meta-training."""
        std = values.std(0, correction=0)
        self.mean.copy_(values.mean(0))
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, values: Tensor) -> Tensor:
        """Return (values - mean) / std."""
        return (values - self.mean) / self.std

    def back(self, outputs: Tensor) -> Tensor:
        """Return outputs on the values' own scale."""
        return outputs * self.std + self.mean


def target_vectors(y: Tensor, n_outputs: int, scale: ValueScale, dtype: torch.dtype) -> Tensor:
    """Return (n_tasks, n, n_outputs): labels as unit vectors (padding as zeros), values on the networks' scale."""
    return scale(y.to(dtype)) if y.is_floating_point() else one_hot(y, n_outputs, dtype)


def real_rows(y: Tensor) -> Tensor:
    """Return which support rows are none of padding, bool (n_tasks, n)."""
    return torch.ones(y.shape[:-1], dtype=torch.bool, device=y.device) if y.is_floating_point() else y >= 0


def shuffled_order(is_real: Tensor, *, at_random: bool) -> Tensor:
    """Return an order (n_tasks, n) of the rows, padding first; if not at random, by the real rows' places alone."""
    if at_random:
        keys = torch.rand(is_real.shape, device=is_real.device)
    else:
        drawn = torch.from_numpy(np.random.default_rng(0).random(is_real.shape[1])).to(is_real.device)
        keys = drawn[(is_real.cumsum(1) - 1).clamp_min(0)]  # padding does not count
    return keys.masked_fill(~is_real, -1.0).argsort(dim=1, stable=True)


def in_order(values: Tensor, order: Tensor) -> Tensor:
    """Return the rows of (n_tasks, n, ...) in an order (n_tasks, n)."""
    index = order.view(*order.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)


def mean_over(values: Tensor, is_real: Tensor) -> Tensor:
    """Return the mean (n_tasks, d) of the real ones among rows (n_tasks, n, d)."""
    weights = is_real.unsqueeze(-1).to(values.dtype)
    return (values * weights).sum(1) / weights.sum(1).clamp_min(1)


def perceptron(*widths: int, starts_at_zero: bool = False) -> nn.Sequential:
    """Return linear layers of these widths, ReLUs between; the last one's output is 0 at the start on demand."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    if starts_at_zero:
        zeroed(layers[-2])
    return nn.Sequential(*layers[:-1])


def zeroed(linear: nn.Module) -> None:
    """Set all weights of a layer to 0."""
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
