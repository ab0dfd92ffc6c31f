"""What every distance is given: the rows of two domains."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl._columns import check_same_columns
from sktl._magnitudes import check_not_vanishing
from sktl.metrics.transferability._labelled_codes import matrix


def two_samples(
    source: Any, target: Any, *, min_rows: int = 2, may_vanish: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of both domains as float64 arrays of as many columns.

    Raises
    ------
    TypeError, ValueError
        If either is no table of finite numbers, has fewer than `min_rows` rows, or other columns than the other, or
        the same ones in another order, or squares of all numbers are 0 and may not be.
    """
    check_same_columns(source, target)
    named = (("source", source), ("target", target))
    first, second = (matrix(rows, name, min_rows=min_rows, may_vanish=True) for name, rows in named)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"source has {first.shape[1]} columns and target {second.shape[1]}: codes of one kind are compared."
        )
    if not may_vanish:
        check_not_vanishing(first, second, name="source and target")
    return first, second


def bures(first: np.ndarray, second: np.ndarray) -> float:
    """Return tr(A + B - 2 (A^1/2 B A^1/2)^1/2) for A = F'F and B = G'G, given the factors F and G.

    The trace of the square root is the sum of the singular values of F G', whichever of rows and columns are more.
    """
    shared = np.linalg.svd(_narrow(first) @ _narrow(second).T, compute_uv=False).sum()
    return float(max(0.0, (first**2).sum() + (second**2).sum() - 2 * shared))


def deviations(rows: np.ndarray) -> np.ndarray:
    """Return a factor F of the covariance F'F of rows: their deviations from the mean, by the root of n - 1."""
    return (rows - rows.mean(axis=0)) / np.sqrt(max(len(rows) - 1, 1))


def _narrow(factor: np.ndarray) -> np.ndarray:
    """Return a factor of the same product F'F with no more rows than columns."""
    return np.asarray(np.linalg.qr(factor, mode="r")) if len(factor) > factor.shape[1] else factor
