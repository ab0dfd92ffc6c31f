"""Weights that leave enough rows to learn from."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from sktl._warn_once import warn_user

COLLAPSED = 0.1  # of the source's rows
LEAST_WORTH = 0.3  # of them, that "auto" leaves: where weights help, most of the help stays, elsewhere little is lost
SMALLEST = 1e-300
FAINT = 1e-6  # where the mean is 1


def flattened(
    ratios: np.ndarray, flattening: float | str, name: str, *, is_of_rows: bool = True
) -> tuple[np.ndarray, float]:
    """Return the weights at a mean of 1, and the power that was taken of them.

    Parameters
    ----------
    ratios : array of shape (n,)
        The target's density over the source's at each source row.
    flattening : float or "auto"
        The power; "auto" is the largest, up to 1, with which weights of rows are worth enough.
    name : str
        Who weighs, for messages.
    is_of_rows : bool, default=True
        False for weights of classes, which "auto" leaves as they are.

    Raises
    ------
    ValueError
        If all are 0.
    """
    weights = ratios / (ratios.max() or 1.0)
    if not weights.any():
        raise ValueError(
            "No source row is like a target row by the weighter: all weights are 0. The domains do not overlap: "
            "use a wider sigma, weighter='discriminative', or an aligner of sktl.aligners first."
        )
    power = flattening if not isinstance(flattening, str) else _power(weights, name) if is_of_rows else 1.0
    flat = weights ** float(power)  # Shimodaira's flattened weights, w^flattening
    return flat / flat.mean(), float(power)


def with_every_class(weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights, faint ones for the rows of a class that would have none: naive Bayes would answer NaN."""
    classes, numbers = np.unique(y, return_inverse=True)
    without = np.bincount(numbers, weights=weights, minlength=len(classes)) == 0
    return np.where(without[numbers], FAINT, weights)


def _power(weights: np.ndarray, name: str) -> float:
    n, worth = len(weights), effective_size(weights)
    if worth >= LEAST_WORTH * n:
        return 1.0
    positive = np.maximum(weights, SMALLEST)
    power = float(brentq(lambda p: effective_size(positive**p) - LEAST_WORTH * n, 0.0, 1.0, xtol=1e-4))
    if worth < COLLAPSED * n:
        warn_user(
            f"The domains overlap little: with their weights, the {n} source rows of {name} are worth {worth:.1f} of "
            f"equal weight. The power {power:.2f} of the weights is taken, which leaves {LEAST_WORTH * n:.0f}. An "
            "aligner of sktl.aligners may serve better."
        )
    return power


def effective_size(weights: np.ndarray) -> float:
    """Return how many rows of equal weight give estimates as steady, (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / np.sum(weights**2))
