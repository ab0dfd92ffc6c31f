"""What batch norms were given: means and variances, pooled over batches."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sktl.training import as_tensors, to_arrays

Sum = tuple[float, Tensor, Tensor]  # number of values, their mean and variance a channel


def norms_of(module: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms that keep running statistics."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


class Moments:
    """Mean and variance of each norm's input, as if all batches had been one.

    Parameters
    ----------
    norms : list of batch norms
        Their running statistics at this time are the source's.
    momentum : float or None
        None pools all batches, each value counting the same; else each `add`-ed pass replaces this share.
    """

    def __init__(self, norms: list[_BatchNorm], momentum: float | None = None):
        self.momentum = momentum
        self.source = [(held(norm.running_mean), held(norm.running_var)) for norm in norms]
        self.n_rows = 0
        self.last: list[Sum | None] = []  # of the last pass alone
        self._sums: list[Sum | None] = [None] * len(norms)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with arrays for tensors, which skops can write."""
        return to_arrays(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(as_tensors(state))

    @contextlib.contextmanager
    def listening(self, norms: list[_BatchNorm]) -> Iterator[None]:
        """Take in, as one pass, what the norms are given within the block; rows are those of the first norm."""
        found: list[Sum | None] = [None] * len(norms)
        n_rows = 0

        def listen(i: int):
            def hook(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                nonlocal n_rows
                x = inputs[0].detach().transpose(0, 1).flatten(1).float()  # (n_channels, n_values)
                var, mean = torch.var_mean(x, dim=1, correction=0)
                found[i] = pooled(found[i], (float(x.shape[1]), wide(mean), wide(var)))
                n_rows += len(inputs[0]) if i == 0 else 0

            return hook

        hooks = [norm.register_forward_pre_hook(listen(i)) for i, norm in enumerate(norms)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.last = found
        self._sums = [self._merged(before, here) for before, here in zip(self._sums, found)]
        self.n_rows += n_rows

    def _merged(self, before: Sum | None, here: Sum | None) -> Sum | None:
        if before is None or here is None:
            return before or here
        if self.momentum is None:
            return pooled(before, here)
        # s <- (1 - m) s + m s_here
        return here[0], before[1].lerp(here[1], self.momentum), before[2].lerp(here[2], self.momentum)

    @torch.no_grad()
    def write(self, norms: list[_BatchNorm], prior: float = 0.0) -> None:
        """Make these the norms' running statistics; the source's count as much as `prior` rows."""
        # s = N / (N + n) s_source + n / (N + n) s_target   (Schneider et al. 2020)
        for norm, (mean, var), own in zip(norms, self.source, self._sums):
            if own is None:  # nothing has gone through this norm
                norm.running_mean.copy_(mean)  # type: ignore[union-attr]
                norm.running_var.copy_(var)  # type: ignore[union-attr]
                continue
            share = self.n_rows / (self.n_rows + prior)
            n, own_mean, own_var = own
            unbiased = own_var * (n / max(n - 1, 1))
            norm.running_mean.copy_(wide(mean).lerp(own_mean.to(mean.device), share))  # type: ignore[union-attr]
            norm.running_var.copy_(wide(var).lerp(unbiased.to(var.device), share))  # type: ignore[union-attr]

    def to(self, device: torch.device | str) -> Moments:
        """Return a copy on a device."""
        moved = copy.copy(self)
        moved.source = [(mean.to(device), var.to(device)) for mean, var in self.source]
        moved._sums = [own and (own[0], own[1].to(device), own[2].to(device)) for own in self._sums]
        return moved


def pooled(a: Sum | None, b: Sum) -> Sum:
    """Return count, mean and variance of two sets together (Chan et al. 1979); nothing may be the first."""
    if a is None:
        return b
    # m = m_a + d n_b / n,   v = (n_a v_a + n_b v_b) / n + d^2 n_a n_b / n^2,   d = m_b - m_a
    n = a[0] + b[0]
    share, delta = b[0] / n, b[1] - a[1]
    return n, a[1] + share * delta, a[2].lerp(b[2], share) + delta**2 * share * (1 - share)


def wide(values: Tensor) -> Tensor:
    """Return the values in double precision where the device has it."""
    return values if values.device.type == "mps" else values.double()


def held(values: Tensor | None) -> Tensor:
    """Return a copy that nothing else writes to."""
    assert values is not None
    return values.detach().clone()
