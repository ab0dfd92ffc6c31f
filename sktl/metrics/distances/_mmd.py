"""Maximum mean discrepancy, and whether it is more than chance."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from sktl.metrics.distances._two_samples import two_samples

PERMUTED_AT_ONCE = 128
MEDIAN_OF = 1000  # rows


class MMDResult(NamedTuple):
    """A squared discrepancy, and how often chance gives as much.

    Attributes
    ----------
    statistic : float
        The unbiased estimate of the squared maximum mean discrepancy; around 0, and below it too, for domains alike.
    pvalue : float
        The share of random divisions of all rows in two with a statistic at least as large. Small means that the
        domains differ.
    """

    statistic: float
    pvalue: float


def mmd(
    source: Any,
    target: Any,
    *,
    bandwidth: float | str = "median",
    n_permutations: int = 200,
    random_state: int = 0,
) -> MMDResult:
    """Return the squared maximum mean discrepancy of two domains, with the p-value of a permutation test [1]_.

    Zero means the same distribution: the Gaussian kernel sees all moments. Memory grows with the square of the rows;
    take a sample of some thousands.

    Parameters
    ----------
    source, target : array-like of shape (n_rows, n_codes)
        Codes of the two domains.
    bandwidth : float or "median", default="median"
        Of the kernel ``exp(-|a - b|^2 / (2 bandwidth^2))``. "median" is the median distance of rows of both domains.
    n_permutations : int, default=200
        Divisions drawn for the p-value, which is at least 1 / (n_permutations + 1); 0 leaves it out (NaN).
    random_state : int, default=0
        Fixes them.

    Returns
    -------
    MMDResult
        ``statistic`` and ``pvalue``.

    Raises
    ------
    TypeError, ValueError
        If either is no table of finite numbers, has fewer than two rows or other columns than the other, or a
        parameter is wrong.

    References
    ----------
    .. [1] A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola, "A kernel two-sample test", JMLR 13,
       2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.distances import mmd
    >>> rng = np.random.default_rng(0)
    >>> source, alike, moved = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)), rng.normal(2, size=(60, 2))
    >>> mmd(source, moved).pvalue < 0.01 < mmd(source, alike).pvalue
    True
    """
    if not isinstance(n_permutations, Integral) or isinstance(n_permutations, bool) or n_permutations < 0:
        raise ValueError(f"n_permutations must be an integer, at least 0; got {n_permutations!r}.")
    if bandwidth != "median" and not (isinstance(bandwidth, Real) and 0 < float(bandwidth) < np.inf):
        raise ValueError(f"bandwidth must be 'median' or a finite number above 0; got {bandwidth!r}.")
    first, second = two_samples(source, target)
    rng = np.random.default_rng(random_state)
    rows = np.concatenate([first, second])
    squares = cdist(rows, rows, "sqeuclidean")
    width = _median_distance(squares, rng) if isinstance(bandwidth, str) else float(bandwidth)
    kernel = np.exp(squares / (-2 * width**2))
    np.fill_diagonal(kernel, 0.0)  # the unbiased estimate compares no row with itself
    is_source = np.arange(len(rows)) < len(first)
    found = float(_statistics(kernel, is_source[None])[0])
    if n_permutations == 0:
        return MMDResult(found, float("nan"))
    larger = 0
    for start in range(0, int(n_permutations), PERMUTED_AT_ONCE):
        drawn = np.tile(is_source, (min(PERMUTED_AT_ONCE, int(n_permutations) - start), 1))
        # equal to the last digits is equal: sums of another order
        larger += int((_statistics(kernel, rng.permuted(drawn, axis=1)) >= found - 1e-12).sum())
    return MMDResult(found, (larger + 1) / (int(n_permutations) + 1))


def _statistics(kernel: np.ndarray, is_source: np.ndarray) -> np.ndarray:
    """Return the statistic of each division, a row of `is_source`; the kernel's diagonal is 0."""
    s = is_source.astype(np.float64)  # (n_divisions, n)
    t = 1 - s
    m, n = s[0].sum(), t[0].sum()
    to_source, to_target = s @ kernel, t @ kernel
    # MMD^2 = sum k(x, x') / m(m-1) + sum k(y, y') / n(n-1) - 2 sum k(x, y) / mn
    within = (to_source * s).sum(axis=1) / (m * (m - 1)) + (to_target * t).sum(axis=1) / (n * (n - 1))
    return within - 2 * (to_source * t).sum(axis=1) / (m * n)


def _median_distance(squares: np.ndarray, rng: np.random.Generator) -> float:
    some = rng.permutation(len(squares))[:MEDIAN_OF]
    of_pairs = squares[np.ix_(some, some)][np.triu_indices(len(some), 1)]
    above = of_pairs[of_pairs > 0]
    return float(np.sqrt(np.median(above))) if len(above) else 1.0
