"""The shares of a mixture, by expectation and maximisation."""

from __future__ import annotations

import numpy as np

MAX_ITER = 10000


def shares(A: np.ndarray, tol: float) -> np.ndarray:
    """Return the g that maximises mean log(A g), with g >= 0 and sum g = 1, to within `tol` of the largest value."""
    # g_l <- g_l mean_j A_jl / (A g)_j;  as the problem is concave, the largest value is at most max_l of that mean - 1
    # above the present one
    g = np.full(A.shape[1], 1 / A.shape[1])
    for _ in range(MAX_ITER):
        now = A @ g
        gain = (A / np.where(now > 0, now, np.inf)[:, None]).mean(axis=0)
        if gain.max() - 1 <= tol:
            break
        g = g * gain
        g /= g.sum()
    return g
