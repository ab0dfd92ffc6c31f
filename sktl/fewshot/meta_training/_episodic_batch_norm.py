"""Batch norm without running statistics: whose mean and variance are used is said from outside."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Statistics = dict[str, Tensor]

_recorded: ContextVar[Statistics | None] = ContextVar("recorded", default=None)
_given: ContextVar[Mapping[str, Tensor] | None] = ContextVar("given", default=None)
_is_batched: ContextVar[bool] = ContextVar("is_batched", default=False)


class EpisodicBatchNorm(nn.Module):
    """Normalises by the batch's own statistics, or by those given in a `normalised_by` block.

    Running statistics would mix tasks, and vmap could not keep them apart. The blocks are local to a thread.

    Parameters
    ----------
    n_features : int
        Channels.
    eps : float, default=1e-5
        Added to the variance.
    name : str, default=""
        By which statistics are told apart; unique within a network.
    """

    def __init__(self, n_features: int, eps: float = 1e-5, name: str = ""):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_features))
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.eps = eps
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) / sqrt(var + eps) * weight + bias, channels on axis 1."""
        given, recorded = _given.get(), _recorded.get()
        shape = (1, -1) + (1,) * (x.ndim - 2)
        if given is None and x.numel() == x.shape[1]:
            raise ValueError(
                "Batch norm takes its statistics from the support set, which must have at least 2 rows; got 1. Give a "
                "task more rows (n_way, n_shot), or take a module without batch norm."
            )
        if given is None and recorded is None:
            if not _is_batched.get():
                return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
            # With weights of their own for each task, torch's second derivative of batch_norm under vmap is wrong.
            normalised = F.batch_norm(x, None, None, None, None, training=True, eps=self.eps)
            return normalised * self.weight.view(shape) + self.bias.view(shape)
        if given is None:
            axes = [axis for axis in range(x.ndim) if axis != 1]
            mean, var = x.mean(axes), x.var(axes, correction=0)
        else:
            mean, var = given[f"{self.name}.mean"], given[f"{self.name}.var"]
        if recorded is not None:
            recorded[f"{self.name}.mean"], recorded[f"{self.name}.var"] = mean, var
        factor = self.weight * (var + self.eps).rsqrt()
        return x * factor.reshape(shape) + (self.bias - mean * factor).reshape(shape)


@contextlib.contextmanager
def recorded_statistics() -> Iterator[Statistics]:
    """Collect the statistics that each layer finds in its batch."""
    statistics: Statistics = {}
    token = _recorded.set(statistics)
    try:
        yield statistics
    finally:
        _recorded.reset(token)


@contextlib.contextmanager
def normalised_by(statistics: Mapping[str, Tensor]) -> Iterator[None]:
    """Normalise by these statistics instead of the batch's own."""
    token = _given.set(statistics)
    try:
        yield
    finally:
        _given.reset(token)


@contextlib.contextmanager
def tasks_batched() -> Iterator[None]:
    """Say that vmap runs over tasks, whose weights may differ."""
    token = _is_batched.set(True)
    try:
        yield
    finally:
        _is_batched.reset(token)


def with_episodic_batch_norm(module: nn.Module) -> nn.Module:
    """Return a copy of a network whose batch norms are episodic, with the same weights."""
    module = copy.deepcopy(module)
    for name, part in list(module.named_modules()):
        if not isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            continue
        new = EpisodicBatchNorm(part.num_features, part.eps, name)
        if part.affine:
            new.weight.data.copy_(part.weight.data)
            new.bias.data.copy_(part.bias.data)
        if not name:
            return new
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, new)
    return module
