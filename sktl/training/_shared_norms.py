"""Batch norm whose statistics are those of all processes' rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from sktl._functional import ONE_VALUE

Gather = Callable[[Tensor], Tensor]  # (...) of each process to (n_processes, ...), with gradients


def learns_statistics(module: nn.Module) -> bool:
    """Whether batch norms of the network normalise by the rows that they are given."""
    return any(isinstance(part, _BatchNorm) and part.training for part in module.modules())


class SharedStatistics(TorchFunctionMode):
    """Within the block, batch norm in training takes its mean and variance over the rows of all processes.

    torch's own `SyncBatchNorm` is a layer, for GPUs only; here the layers stay what they are.

    Parameters
    ----------
    gather : callable(tensor) -> tensor
        Stacks what the processes give.
    """

    def __init__(self, gather: Gather):
        super().__init__()
        self.gather = gather

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is F.batch_norm:
            return _batch_norm(self.gather, *args, **kwargs)
        return function(*args, **kwargs)


def _batch_norm(
    gather: Gather,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    # m = sum_r n_r m_r / n,   v = sum_r n_r (v_r + (m_r - m)^2) / n   over the processes r
    axes, shape = [axis for axis in range(x.ndim) if axis != 1], (1, -1) + (1,) * (x.ndim - 2)
    rows = x.float()
    own = torch.stack(
        [rows.mean(axes), rows.var(axes, correction=0), rows.new_full(x.shape[1:2], x.numel() / x.shape[1])]
    )
    means, variances, counts = gather(own).unbind(1)  # (n_processes, n_channels) each
    n = counts.sum(0)
    if n[0] < 2:
        raise ValueError(f"Expected {ONE_VALUE} when training, got input size {tuple(x.shape)}")
    mean = (counts * means).sum(0) / n
    var = (counts * (variances + (means - mean).square())).sum(0) / n
    if running_mean is not None and running_var is not None:  # .data, as torch's own does: an earlier pass of the same
        unbiased = var.detach() * n / (n - 1)  # step, in evaluation mode, may have kept them for its gradient
        running_mean.data.lerp_(mean.detach().to(running_mean.dtype), momentum)
        running_var.data.lerp_(unbiased.to(running_var.dtype), momentum)
    factor = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
    shift = -mean * factor if bias is None else bias - mean * factor
    return torch.addcmul(shift.view(shape), rows, factor.view(shape)).to(x.dtype)
