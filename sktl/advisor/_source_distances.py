"""How far sources are from a target: all of them by moments, the nearest of them by a finer distance."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from sktl._validation import did_you_mean, shorten
from sktl.metrics.distances import (
    coral_distance,
    frechet_distance,
    mmd,
    proxy_a_distance,
    sliced_wasserstein_distance,
)

Distance = Callable[[np.ndarray, np.ndarray], float]
MOMENTS = "moments"
COMPARED = 32  # sources, at most, whose rows are compared with the target's
COMPARED_ROWS = 1000  # of each
STEEPNESS, LEAST_NEARNESS = 2.0, 1e-9  # of judges among many, by their distance in medians
STRENGTH = 0.01  # of the proxy A-distance's judge: one for all sources, so that distances can be compared


def _proxy_a(source: np.ndarray, target: np.ndarray) -> float:
    return proxy_a_distance(source, target, C=STRENGTH)


def _mmd(source: np.ndarray, target: np.ndarray) -> float:
    width = float(np.median(pdist(target))) or 1.0  # the target's own, the same for all sources
    return mmd(source, target, bandwidth=width, n_permutations=0).statistic


DISTANCES: dict[str, Distance] = {
    "proxy_a": _proxy_a,
    "mmd": _mmd,
    "coral": coral_distance,
    "frechet": frechet_distance,
    "sliced_wasserstein": sliced_wasserstein_distance,
}


def checked_distance(distance: Any) -> Distance | None:
    """Return the function that a word means; None for "moments", which needs none.

    Raises
    ------
    ValueError
        If the word is unknown.
    """
    if distance == MOMENTS or callable(distance):
        return None if distance == MOMENTS else distance
    if distance not in DISTANCES:
        known = ", ".join(map(repr, [*DISTANCES, MOMENTS]))
        raise ValueError(
            f"distance must be one of {known}, or a callable (source, target) -> float; got {distance!r}."
            f"{did_you_mean(str(distance), [*DISTANCES, MOMENTS])}"
        )
    return DISTANCES[distance]


def compared(
    function: Distance, by_moments: np.ndarray, rows: list[np.ndarray], target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the distances of the sources nearest by moments, (n_sources,); NaN for the others, and for single rows.

    Parameters
    ----------
    function : callable
        ``function(source, target)`` of two tables of codes.
    by_moments : ndarray of shape (n_sources,)
        What comes first.
    rows : list of ndarray
        Each source's codes.
    target : ndarray of shape (n_target, n_codes)
        The target's codes.
    rng : Generator
        Draws rows of large domains.

    Raises
    ------
    ValueError
        If a distance is no number.
    """
    found = np.full(len(by_moments), np.nan)
    if len(target) < 2:
        return found
    target = _some(target, rng)
    for place in np.argsort(by_moments, kind="stable")[:COMPARED].tolist():
        source = rows[place]
        if len(source) > 1:
            found[place] = _number(function(_some(source, rng).copy(), target.copy()))  # it may write into them
    return found


def _number(distance: Any) -> float:
    """Return a distance that is a finite number."""
    if np.ndim(distance) or not isinstance(distance, (Real, np.generic, np.ndarray)):
        raise TypeError(f"The distance of a source is {shorten([distance])}; distances are finite numbers.")
    if not np.isfinite(float(distance)):
        raise ValueError(f"The distance of a source is {distance}; distances are finite numbers.")
    return float(distance)


def ranked_by(function: Distance | None, distances: np.ndarray) -> np.ndarray:
    """Return what sources are ordered by: named distances below 0 are chance, the larger the fewer rows there are."""
    return np.maximum(distances, 0.0) if function is None or function in DISTANCES.values() else distances


def nearness(distances: np.ndarray) -> np.ndarray:
    """Return weights above 0, the larger the nearer a source: 1 / (distance + their median)."""
    distances = np.maximum(distances, 0.0)  # estimates without bias fall below it
    middle = float(np.median(distances))
    return 1 / (distances + middle) if middle > 0 else np.where(distances > 0, 0.5, 1.0)


def nearness_among_many(distances: np.ndarray) -> np.ndarray:
    """Return weights above 0 that fall faster: exp(-2 (distance - the least) / their median).

    What harm one of many small sources does is mostly a matter of the pair, not of the source alone. So the judges that
    are like the target have the say.
    """
    distances = np.maximum(distances, 0.0)
    middle = float(np.median(distances))
    if middle == 0:
        return np.where(distances > 0, 0.5, 1.0)
    return np.maximum(np.exp(-STEEPNESS * (distances - distances.min()) / middle), LEAST_NEARNESS)


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= COMPARED_ROWS else rows[np.sort(rng.permutation(len(rows))[:COMPARED_ROWS])]
