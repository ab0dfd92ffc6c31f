"""What can be known, without labels in the target, of whether an adaptation has helped there or done harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sktl._array_api import n_rows, take_rows
from sktl._codes import codes
from sktl.safety._referees import is_table, leading, overlap, verdicts

NEIGHBOURS = 10
MOST_ROWS = 5000  # of each domain that are looked at


@dataclass(frozen=True)
class Evidence:
    """An adapted classifier beside a baseline that has not adapted, seen without labels in the target.

    Attributes
    ----------
    disagreement : float
        Share of target rows that the two label differently: neither harm nor gain can be larger.
    referee : float
        In what larger share of the target rows a forest that has learned the source as it is gives the adapted
        classifier's label, than gives the baseline's. It does not adapt, so it cannot share the adaptation's mistakes.
    aligned_referee : float
        The same, by the nearest source rows once each domain's columns have mean 0 and variance 1. It sees what a
        forest cannot where the domains' scales differ, and errs where the classes' shares do.
    overlap : float
        How alike the domains' rows are: 1 where a linear classifier cannot tell from which of the two a row comes, 0
        where it always can. There, a forest that has learned the source as it is says little of the target.
    neighbourhood : float
        How much more often neighbours in the target have one label by the adapted classifier than by the baseline;
        above chance, as a share of what is possible above chance. Neighbours are those of the baseline's codes, which
        the adaptation has not touched.

    Examples
    --------
    >>> from sktl.safety import Evidence
    >>> Evidence(disagreement=0.1, referee=0.05, aligned_referee=0.02, overlap=0.8, neighbourhood=0.2).referee
    0.05
    """

    disagreement: float
    referee: float
    aligned_referee: float
    overlap: float
    neighbourhood: float


def gathered(
    baseline: Any, adapted: Any, X_source: Any, y: np.ndarray, X_target: Any, random_state: int = 0
) -> Evidence:
    """Return what speaks for an adapted classifier, and against it.

    Parameters
    ----------
    baseline, adapted : classifier
        Both fitted.
    X_source, y : array-like of n_source rows, and ndarray of shape (n_source,)
        Labelled rows.
    X_target : array-like of n_target rows
        Rows of the target, unlabelled.
    random_state : int, default=0
        Of the forest, and of the rows that are looked at where there are many.
    """
    plain, other = (np.asarray(model.predict(X_target)) for model in (baseline, adapted))
    rng = np.random.default_rng(random_state)
    some = rng.permutation(len(plain))[:MOST_ROWS]
    learned = rng.permutation(len(y))[:MOST_ROWS]
    target = rows_of(baseline, take_rows(X_target, some))
    near = neighbours(target)
    source = rows_of(baseline, take_rows(X_source, learned))
    forest, nearest = verdicts(source, y[learned], target, random_state)
    plain_too, other_too = plain[some], other[some]
    return Evidence(
        disagreement=float(np.mean(plain != other)),
        referee=float(np.mean(forest == other_too) - np.mean(forest == plain_too)),
        aligned_referee=float(np.mean(nearest == other_too) - np.mean(nearest == plain_too)),
        overlap=overlap(source, target),
        neighbourhood=neighbour_agreement(near, other_too) - neighbour_agreement(near, plain_too),
    )


def neighbours(rows: Any) -> np.ndarray:
    """Return the numbers of each row's nearest neighbours, (n, n_neighbours), in the leading directions of all rows."""
    n = n_rows(rows)
    k = min(NEIGHBOURS, n - 1)
    if k < 1:
        return np.empty((n, 0), dtype=int)
    points = leading(rows)
    found = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points, return_distance=False)
    others = found != np.arange(n)[:, None]  # a row is its own nearest one, but for equal rows
    others[others.all(axis=1), -1] = False
    return found[others].reshape(n, k)


def neighbour_agreement(near: np.ndarray, labels: np.ndarray) -> float:
    """Return how often a row and its neighbours have one label, above chance, as a share of what is possible above it.

    1 where all neighbours agree, 0 where labels are scattered, and 0 for a single label, which says nothing.
    """
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    by_chance = float(np.sum(shares**2))
    if not near.size or by_chance == 1:
        return 0.0
    # kappa = (p - p_chance) / (1 - p_chance)
    return (float((labels[near] == labels[:, None]).mean()) - by_chance) / (1 - by_chance)


def rows_of(baseline: Any, X: Any) -> Any:
    """Return a table as it is, and of other rows what the baseline makes of them: the adaptation touches neither."""
    return X if is_table(X) else codes(baseline, X, "SafelyAdaptedClassifier")
