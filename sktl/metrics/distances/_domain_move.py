"""Whether a target has moved, or holds rows of the same kinds that were picked otherwise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sktl._columns import check_same_columns
from sktl._magnitudes import fitted_scaler

SEEN = 1000  # rows of each domain
N_COMPONENTS = 50
APART, WHOLLY = 0.85, 0.95  # shares of target rows whose nearest row is one of the target
EXPLAINED, MOSTLY = 0.12, 0.4  # shares of the way between the means, above what chance explains
LEAST_WAY = 3.0  # squared, in that of the means' noise
N_RANDOM, SHRINKAGE = 20, 0.05


class DomainMove(NamedTuple):
    """What tells a target that has moved from one whose rows were picked otherwise.

    Attributes
    ----------
    has_moved : bool
        Whether it has moved.
    own_neighbours : float
        Share of target rows whose nearest row is of the target: about a half where the domains are alike.
    explained : tuple of two floats
        How much of the way between the domains' means other shares of the source's classes explain, less what they
        explain of ways of chance; in deviations within the source's classes, and in those of both domains. 1 where
        there is no way beyond noise.
    """

    has_moved: bool
    own_neighbours: float
    explained: tuple[float, float]


def domain_move(source: Any, y_source: Any, target: Any) -> DomainMove:
    """Tell a target that has moved from one whose rows were only picked otherwise.

    A target that has moved (another camera, another unit of measurement) is best met by a centre of its own. Where only
    shares of classes, or of kinds of rows, differ (another ward, another season), such a centre sends rows to wrong
    classes, and the source's model is right as it is. It has moved if nearly all of its rows are nearest to each other
    [1]_ [2]_; if most are, and shares of the source's classes explain little of the way between the means; or if these
    explain next to nothing.

    The thresholds were set on made and real pairs of domains whose targets had labels; chosen with each data set left
    out they decide nearly alike (``benchmarks/domain_move.py``).

    Parameters
    ----------
    source, target : array of shape (n_rows, n_columns)
        Rows of the two domains.
    y_source : array of shape (n_rows,)
        Labels of the source's rows.

    Returns
    -------
    DomainMove
        The answer, and what it was found by.

    Raises
    ------
    ValueError
        If rows are no finite numbers, columns differ, or the labels are not as many as the rows.

    References
    ----------
    .. [1] M. F. Schilling, "Multivariate two-sample tests based on nearest neighbors", Journal of the American
       Statistical Association, 1986.
    .. [2] N. Henze, "A multivariate two-sample test based on the number of nearest neighbor type coincidences", The
       Annals of Statistics, 1988.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.distances import domain_move
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 100)
    >>> source, target = (rng.normal(size=(200, 3)) + 3 * y[:, None] for _ in range(2))
    >>> domain_move(source, y, target + [9, 0, 0]).has_moved
    True
    >>> domain_move(source, y, target[y == 1]).has_moved  # one class alone
    False
    """
    check_same_columns(source, target)
    source, target = (check_array(rows, dtype=np.float64) for rows in (source, target))
    y_source = column_or_1d(y_source)
    check_consistent_length(source, y_source)
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"Domains must have the same columns: source has {source.shape[1]}, target {target.shape[1]}.")
    own, explained = own_neighbours(source, target), explained_ways(source, y_source, target)
    if own > WHOLLY:  # rows of the same kinds would lie among the source's
        return DomainMove(True, own, explained)
    moved = min(explained) <= MOSTLY if own > APART else max(explained) <= EXPLAINED
    return DomainMove(moved, own, explained)


def own_neighbours(source: np.ndarray, target: np.ndarray) -> float:
    """Return the share of target rows whose nearest row is of the target: a half where the domains are alike.

    Where rows of both mix, the target is no new place. Other shares of classes, or of kinds of rows, have moved its
    mean, and with a centre of its own rows would move to wrong classes.

    The nearest-neighbour test of two samples (Schilling 1986; Henze 1988), on as many rows of either, each column by
    its deviation, along the leading principal components. Rows that are there twice count once; ties count half.
    """
    a, b, _ = _projected(source, np.zeros(len(source)), target)
    if len(a) < 2:
        return 0.5
    to_other = NearestNeighbors(n_neighbors=1).fit(a).kneighbors(b)[0][:, 0]
    to_own = NearestNeighbors(n_neighbors=1).fit(b).kneighbors()[0][:, 0]  # but not itself
    return float(np.mean(to_own < to_other) + np.mean(to_own == to_other) / 2)


def explained_ways(source: np.ndarray, class_numbers: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return how much of the way between the domains' means the best shares of the source's classes explain.

    In many noisy columns rows mix though all of them have moved a little: the mean tells. What shares explain of ways
    in directions of chance is taken off. Lengths are in deviations within the source's classes, and in these and the
    target's. Where there is no way beyond noise, there is nothing else to explain: 1.
    """
    a, b, numbers = _projected(source, class_numbers, target)
    if len(a) < 2:
        return 1.0, 1.0
    known, present = np.unique(numbers, return_inverse=True)
    means = np.stack([a[present == c].mean(0) for c in range(len(known))])
    within, of_target = _covariance(a - means[present]), _covariance(b - b.mean(0))
    return tuple(_explained_by(b.mean(0), means, a, each) for each in (within, (within + of_target) / 2))  # type: ignore[return-value]


def _explained_by(target_mean: np.ndarray, means: np.ndarray, source: np.ndarray, covariance: np.ndarray) -> float:
    # S = L L',  z = L^-1 x
    lower, noise = np.linalg.cholesky(covariance), source.shape[1] * 2 / len(source)
    way = np.linalg.solve(lower, target_mean - source.mean(0))
    ways_of_classes = np.linalg.solve(lower, (means - source.mean(0)).T)
    length = float(way @ way)
    if length < LEAST_WAY * noise:
        return 1.0
    random = np.random.default_rng(0).normal(size=(N_RANDOM, len(way)))
    random *= np.sqrt(length) / np.linalg.norm(random, axis=1, keepdims=True)
    by_chance = np.mean([_explained(one, ways_of_classes, noise) for one in random])
    return _explained(way, ways_of_classes, noise) - float(by_chance)


def _explained(way: np.ndarray, ways_of_classes: np.ndarray, noise: float) -> float:
    """Return the share of the way's squared length that the best shares of the classes go."""
    # min_g |way - sum_c g_c m_c|^2,   g >= 0,  sum g = 1
    heavy = 1e3 * np.sqrt(max(float(np.square(ways_of_classes).sum(0).max()), 1e-12))
    shares, _ = nnls(np.vstack([ways_of_classes, np.full(ways_of_classes.shape[1], heavy)]), np.r_[way, heavy])
    rest = way - ways_of_classes @ shares
    return 1 - max(float(rest @ rest) - noise, 0.0) / max(float(way @ way) - noise, 1e-12)


def _covariance(rows: np.ndarray) -> np.ndarray:
    found = rows.T @ rows / len(rows)
    size = np.trace(found) / len(found)
    return found + (SHRINKAGE * size or 1.0) * np.eye(len(found))


def _projected(
    source: np.ndarray, class_numbers: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return as many rows of either domain, each once, along leading components, and the classes of the first."""
    rng = np.random.default_rng(0)
    first = rng.permutation(len(source))[: 4 * SEEN] if len(source) > 4 * SEEN else np.arange(len(source))
    a, where = np.unique(np.asarray(source[first], dtype=np.float64), axis=0, return_index=True)
    numbers = class_numbers[first][where]
    b = np.unique(_some(np.asarray(target, dtype=np.float64), 4 * SEEN, rng), axis=0)
    n = min(len(a), len(b), SEEN)
    if n < 2:
        return a[:0], b[:0], numbers[:0]
    some = rng.permutation(len(a))[:n] if len(a) > n else np.arange(n)
    with np.errstate(all="ignore"):
        both = np.vstack([a[some], _some(b, n, rng)])
        both = fitted_scaler(StandardScaler(), both).transform(both)
    if not np.isfinite(both).all():  # numbers too large for their squares
        return a[:0], b[:0], numbers[:0]
    if min(both.shape) > N_COMPONENTS:
        both = PCA(N_COMPONENTS, svd_solver="randomized", random_state=0).fit_transform(both)
    return both[:n], both[n:], numbers[some]


def _some(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= n else rows[rng.permutation(len(rows))[:n]]
