"""Kernel mean matching: weights under which the source's mean in a kernel's space is the target's."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._warn_once import warn_user
from sktl.density_ratios._base import DensityRatio, in_one_unit
from sktl.density_ratios._kernels import gaussian, median_distance, squared_distances

MAX_ITER = 3000
TOLERANCE = 1e-3  # of what the objective may be above the best one; it is far nearer as a rule
TARGET_ROWS = 2000  # whose kernels are held at once


class KernelMeanMatching(DensityRatio):
    """Kernel mean matching: the source's weighted mean in the space of a Gaussian kernel is the target's [1]_.

    The weights solve a convex quadratic problem, to a proven gap. They are those of the given rows, many of them 0. It
    departs from the paper in one way: more than `max_rows` source rows are matched in parts, drawn at random.

    Parameters
    ----------
    sigma : float or "median", default="median"
        Width of the kernel; "median" is the median distance of two rows.
    largest : float, default=1000.0
        B in the paper: no weight is larger.
    slack : float or "auto", default="auto"
        How far the mean weight may be from 1; "auto" is the paper's (sqrt(n) - 1) / sqrt(n).
    max_rows : int, default=2000
        Source rows that are matched at once; time grows with the square.
    random_state : int, default=0
        Draws the parts, and the rows for the median distance.

    References
    ----------
    .. [1] J. Huang, A. Smola, A. Gretton, K. Borgwardt and B. Schölkopf, "Correcting sample selection bias by unlabeled
       data", NeurIPS, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.density_ratios import KernelMeanMatching
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(200, 1)), rng.normal(loc=1.0, size=(200, 1))
    >>> ratio = KernelMeanMatching().estimate(source, target)
    >>> bool(abs(np.average(source[:, 0], weights=ratio) - target.mean()) < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "sigma": [Interval(Real, 0, None, closed="neither"), StrOptions({"median"})],
        "largest": [Interval(Real, 1, None, closed="left")],
        "slack": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        sigma: float | str = "median",
        *,
        largest: float = 1000.0,
        slack: float | str = "auto",
        max_rows: int = 2000,
        random_state: int = 0,
    ):
        self.sigma = sigma
        self.largest = largest
        self.slack = slack
        self.max_rows = max_rows
        self.random_state = random_state

    def _estimate(self, source: Any, target: Any) -> np.ndarray:
        rng = np.random.default_rng(self.random_state)
        source, target, unit = in_one_unit(source, target)
        sigma = median_distance(source, target, rng) if isinstance(self.sigma, str) else self.sigma / unit
        ratios = np.ones(source.shape[0])
        if sigma == 0:  # all rows are alike
            return ratios
        for part in _parts(source.shape[0], self.max_rows, rng):
            ratios[part] = self._matched(source[part], target, sigma)
        return ratios

    def _matched(self, source: Any, target: Any, sigma: float) -> np.ndarray:
        # min_b 1/2 b^T K b - kappa^T b,   0 <= b <= B,  |mean b - 1| <= slack,   kappa_i = n / m sum_j k(x_i, t_j)
        n, m = source.shape[0], target.shape[0]
        K = gaussian(squared_distances(source, source), sigma)
        chunks = [target[i : i + TARGET_ROWS] for i in range(0, m, TARGET_ROWS)]
        kappa = n / m * sum(gaussian(squared_distances(source, chunk), sigma).sum(axis=1) for chunk in chunks)
        slack = (np.sqrt(n) - 1) / np.sqrt(n) if isinstance(self.slack, str) else self.slack
        return solved(K, kappa, self.largest, max(0.0, 1 - slack), 1 + slack)


def solved(K: np.ndarray, kappa: np.ndarray, largest: float, low: float, high: float) -> np.ndarray:
    """Return argmin 1/2 b^T K b - kappa^T b over 0 <= b <= largest, low <= mean b <= high, by projected gradients.

    Nesterov's steps, begun anew where they point uphill. They end when the gap to the optimum is known to be small.
    """
    b = previous = projected(np.ones(len(kappa)), largest, low, high)
    step, t = 1 / max(float(np.abs(K).sum(axis=1).max()), np.finfo(float).tiny), 1.0
    moved = b
    for i in range(MAX_ITER):
        b = projected(moved - step * (K @ moved - kappa), largest, low, high)
        if (moved - b) @ (b - previous) > 0:
            t = 1.0
        t_next = (1 + np.sqrt(1 + 4 * t * t)) / 2
        moved, previous, t = b + (t - 1) / t_next * (b - previous), b, t_next
        if i % 20 == 19:
            slope = K @ b - kappa
            if slope @ (b - lowest(slope, largest, low, high)) <= TOLERANCE * max(abs(kappa @ b), 1e-300):
                return b
    warn_user(
        f"Kernel mean matching has not converged in {MAX_ITER} steps; its weights are near the best ones. A larger "
        "sigma converges sooner.",
        ConvergenceWarning,
    )
    return b


def projected(b: np.ndarray, largest: float, low: float, high: float) -> np.ndarray:
    """Return the nearest point of 0 <= b <= largest, low <= mean b <= high."""
    inside = b.clip(0, largest)
    mean = inside.mean()
    if low <= mean <= high:
        return inside
    wanted = high if mean > high else low
    # clip(b - shift) has the wanted mean: it falls with the shift
    left, right = b.min() - largest, b.max()
    for _ in range(60):
        shift = (left + right) / 2
        left, right = (shift, right) if (b - shift).clip(0, largest).mean() > wanted else (left, shift)
    return (b - right).clip(0, largest)


def lowest(slope: np.ndarray, largest: float, low: float, high: float) -> np.ndarray:
    """Return the point of the same set that lies furthest down a slope."""
    n = len(slope)
    order = np.argsort(slope)
    n_falling = np.searchsorted(slope[order], 0.0)
    total = min(max(n_falling * largest, n * low), n * high)
    point = np.zeros(n)
    point[order] = (total - largest * np.arange(n)).clip(0, largest)
    return point


def _parts(n: int, most: int, rng: np.random.Generator) -> list[np.ndarray]:
    n_parts = -(-n // most)
    order = np.arange(n) if n_parts == 1 else rng.permutation(n)
    return [np.sort(part) for part in np.array_split(order, n_parts)]
