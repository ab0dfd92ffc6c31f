"""Kernels and transport written out in NumPy, row by row."""

import numpy as np
from scipy.optimize import linprog


def gaussian(rows, n_kernels=5, bandwidth=None):
    n = len(rows)
    distances = np.array([[((a - b) ** 2).sum() for b in rows] for a in rows])
    middle = distances.sum() / (n * n - n) if bandwidth is None else bandwidth
    return sum(np.exp(-distances / (middle * 2.0 ** (i - n_kernels // 2))) for i in range(n_kernels))


def mmd(source, target, n_kernels=5):
    kernel, n = gaussian(np.vstack([source, target]), n_kernels), len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def cheapest_transport(cost):
    """The linear programme, between uniform masses."""
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses).fun
