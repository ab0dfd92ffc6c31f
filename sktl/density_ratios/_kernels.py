"""Gaussian kernels, with widths counted in the distances that there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from sktl.density_ratios._base import stacked

MEASURED_ROWS = 1000  # of both domains, for the median distance
WIDTHS = (0.1, 0.2, 0.35, 0.6, 1.0, 2.0, 5.0)  # that cross-validation tries, in median distances


def median_distance(source: Any, target: Any, rng: np.random.Generator) -> float:
    """Return the median distance between two rows of either domain; 0 where all rows are alike."""
    both = stacked(source, target)
    if both.shape[0] > MEASURED_ROWS:
        both = both[np.sort(rng.choice(both.shape[0], MEASURED_ROWS, replace=False))]
    distances = euclidean_distances(both)[np.triu_indices(both.shape[0], 1)]
    distances[distances < 1e-7] = 0.0  # rounding; the largest number is 1
    if not distances.any():
        return 0.0
    return float(np.median(distances)) or float(distances.mean())


def squared_distances(rows: Any, centres: Any) -> np.ndarray:
    """Return squared distances, (n_rows, n_centres)."""
    return euclidean_distances(rows, centres, squared=True)


def gaussian(squared: np.ndarray, sigma: float) -> np.ndarray:
    """Return exp(-d^2 / (2 sigma^2))."""
    return np.exp(squared * (-0.5 / sigma / sigma))


def drawn(rows: Any, most: int, rng: np.random.Generator) -> Any:
    """Return at most so many of the rows, drawn at random."""
    if rows.shape[0] <= most:
        return rows
    return rows[np.sort(rng.choice(rows.shape[0], most, replace=False))]


def folds_of(n: int, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return each row's fold, (n,), drawn at random."""
    return rng.permutation(np.arange(n) % max(n_folds, 1))
