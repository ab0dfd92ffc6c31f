"""Tasks made of nothing: classes are clouds of points, seen through random networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FACTORS = (2, 17)  # numbers behind the codes: at least, and less than
UNITS = 64  # hidden ones of a network


def random_network_codes(y: Tensor, n_way: int, n_codes: int) -> Tensor:
    """Return codes (n_tasks, n, n_codes) for labels (n_tasks, n): each task a random network of its own.

    A class is a cloud of factors around a point. How far the points lie apart, how wide the clouds are along each
    factor, and how bent the network is, are drawn by task; so which directions tell classes apart has to be found out
    from the support set. Codes have mean 0 and standard deviation 1 over a task. torch's global generator draws.

    Parameters
    ----------
    y : Tensor (n_tasks, n)
        Labels 0, ..., n_way - 1; -1 is padding.
    n_way, n_codes : int
        Classes, and the size of a code.
    """
    n_tasks, device = len(y), y.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(n_tasks, *shape, device=device)

    n_factors = int(torch.randint(*FACTORS, (), device="cpu"))
    centres = normal(n_way, n_factors) * (0.5 * normal(1, 1)).exp()
    widths = normal(1, n_factors).exp() / 2  # log-normal: some factors say nothing of the class
    rows = y.clamp_min(0).unsqueeze(-1).expand(-1, -1, n_factors)
    factors = centres.gather(1, rows) + widths * normal(y.shape[1], n_factors)
    # tanh(a F U) V + small noise
    bend = normal(1, 1).exp()
    hidden = torch.tanh(bend * (factors @ normal(n_factors, UNITS)) / math.sqrt(n_factors) + normal(1, UNITS))
    codes = hidden @ normal(UNITS, n_codes) + 0.1 * normal(y.shape[1], n_codes)
    return (codes - codes.mean((1, 2), keepdim=True)) / codes.std((1, 2), keepdim=True)
