"""What can be known, without labels in the target, of whether an adaptation has helped there or done harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from sktl._array_api import n_rows, take_rows
from sktl._codes import codes
from sktl.safety._source_only import fitted_without_target

NEIGHBOURS = 10
MOST_COLUMNS = 50  # leading directions in which they are looked for
MOST_ROWS = 5000  # between which they are looked for


@dataclass(frozen=True)
class Evidence:
    """An adapted classifier beside a baseline that has not adapted, seen without labels in the target.

    Attributes
    ----------
    disagreement : float
        Share of target rows that the two label differently: neither harm nor gain can be larger.
    neighbourhood : float
        How much more often neighbours in the target have one label by the adapted classifier than by the baseline;
        above chance, as a share of what is possible above chance. Neighbours are those of the baseline's codes, which
        the adaptation has not touched.
    round_trip : float
        How much more of the source's labels comes back, by way of the target, from the adapted classifier's labels
        than from the baseline's. The way back is a baseline that has learned the target's rows with these labels.
    shares : float
        How much further the adapted classifier's class shares in the target are from the source's than the baseline's
        are, as total variation.

    Examples
    --------
    >>> from sktl.safety import Evidence
    >>> Evidence(disagreement=0.1, neighbourhood=0.2, round_trip=0.05, shares=-0.1).disagreement
    0.1
    """

    disagreement: float
    neighbourhood: float
    round_trip: float
    shares: float


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
        Of the rows whose neighbours are looked for, where there are many.
    """
    classes = np.unique(y)
    plain, other = (np.asarray(model.predict(X_target)) for model in (baseline, adapted))
    some = np.random.default_rng(random_state).permutation(len(plain))[:MOST_ROWS]
    near = neighbours(_rows_of(baseline, take_rows(X_target, some)))
    distance = [0.5 * np.abs(_shares(labels, classes) - _shares(y, classes)).sum() for labels in (other, plain)]
    return Evidence(
        disagreement=float(np.mean(plain != other)),
        neighbourhood=neighbour_agreement(near, other[some]) - neighbour_agreement(near, plain[some]),
        round_trip=round_trip(baseline, X_target, other, X_source, y)
        - round_trip(baseline, X_target, plain, X_source, y),
        shares=float(distance[0] - distance[1]),
    )


def neighbours(rows: Any) -> np.ndarray:
    """Return the numbers of each row's nearest neighbours, (n, n_neighbours), in the leading directions of all rows."""
    n = n_rows(rows)
    k = min(NEIGHBOURS, n - 1)
    if k < 1:
        return np.empty((n, 0), dtype=int)
    points = _leading(rows)
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


def round_trip(baseline: Any, X_target: Any, predicted: np.ndarray, X_source: Any, y: np.ndarray) -> float:
    """Return the share of source labels that come back from labels predicted in the target.

    Parameters
    ----------
    baseline : classifier
        A clone of it learns the target's rows with the predicted labels, and nothing else.
    X_target, predicted : array-like of n_target rows, and ndarray of shape (n_target,)
        Rows of the target and the labels that they are given.
    X_source, y : array-like of n_source rows, and ndarray of shape (n_source,)
        What is then predicted, and the truth.
    """
    if len(np.unique(predicted)) < 2:  # there is nothing to learn
        return float(np.mean(y == predicted[0]))
    reverse = fitted_without_target(baseline, X_target, predicted, np.arange(len(predicted)))
    return float(np.mean(np.asarray(reverse.predict(X_source)) == y))


def _shares(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(classes, labels), minlength=len(classes)) / len(labels)


def _rows_of(baseline: Any, X: Any) -> Any:
    """Return a table as it is, and of other rows what the baseline makes of them: the adaptation touches neither."""
    if sparse.issparse(X) or (getattr(X, "ndim", 0) == 2 and getattr(X, "dtype", np.dtype("O")).kind in "biuf"):
        return X
    return codes(baseline, X, "SafelyAdaptedClassifier")


def _leading(rows: Any) -> np.ndarray:
    if sparse.issparse(rows):
        n = min(MOST_COLUMNS, rows.shape[1] - 1)
        return TruncatedSVD(n, random_state=0).fit_transform(rows) if n > 0 else rows.toarray()
    scaled = np.nan_to_num(StandardScaler().fit_transform(np.asarray(rows, dtype=np.float64)))  # missing: the mean
    n = min(MOST_COLUMNS, *scaled.shape)
    return PCA(n, svd_solver="randomized", random_state=0).fit_transform(scaled) if n < scaled.shape[1] else scaled
