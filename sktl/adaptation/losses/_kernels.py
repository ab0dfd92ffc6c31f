"""Gaussian kernels of several widths, and distances between weighted mean embeddings."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared Euclidean distances between the rows of two tables, (n, m)."""
    # ||x||^2 + ||y||^2 - 2 x.y
    return torch.addmm(a.pow(2).sum(1)[:, None] + b.pow(2).sum(1)[None, :], a, b.T, alpha=-2).clamp_min(0)


def gaussian_kernel(rows: Tensor, n_kernels: int = 5, bandwidth: float | None = None) -> Tensor:
    """Return the sum of Gaussian kernels whose widths double from one to the next, (n, n).

    Parameters
    ----------
    rows : Tensor (n, d)
        All rows, of both domains.
    n_kernels : int, default=5
        Number of kernels.
    bandwidth : float, optional
        The middle width; None is the mean squared distance between different rows, not differentiated.
    """
    # k(x, y) = sum_i exp(-||x - y||^2 / (b 2^i)),   i = -m//2, ..., m - 1 - m//2
    distances = squared_distances(rows, rows)
    n = len(rows)
    middle = distances.detach().sum() / max(n * n - n, 1) if bandwidth is None else torch.as_tensor(float(bandwidth))
    widest = middle.clamp_min(1e-12) * 2.0 ** (n_kernels - 1 - n_kernels // 2)
    kernel = torch.exp(-distances / widest)
    total = kernel
    for _ in range(n_kernels - 1):  # half the width is the square
        kernel = kernel * kernel
        total = total + kernel
    return total


def signed_weights(n_source: int, n_target: int, like: Tensor) -> Tensor:
    """Return 1 / n_s for source rows and -1 / n_t for target rows."""
    return torch.cat([like.new_full((n_source,), 1 / n_source), like.new_full((n_target,), -1 / n_target)])


def embedding_distance(kernel: Tensor, weights: Tensor) -> Tensor:
    """Return the squared norm of the weighted sum of embeddings."""
    # || sum_i w_i phi(x_i) ||^2 = w' K w
    return weights @ kernel @ weights
