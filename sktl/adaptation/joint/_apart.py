"""Whether the target's rows lie apart from the source's, or are rows of the same kind that were picked otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

SEEN = 1000  # rows of each domain
N_COMPONENTS = 50
APART = 0.85  # share of target rows whose nearest row is one of the target


def batch_norm_for(rows: Any, source: np.ndarray, target: np.ndarray, weights: np.ndarray | None) -> str:
    """Return whose centre feature rows have by default: each domain its own, or both that of all rows.

    Parameters
    ----------
    rows : array or sparse matrix of shape (n, n_columns)
        Of all domains.
    source, target : int arrays
        Numbers of rows.
    weights : array of shape (n,) or None
        Of the rows; what weighs nothing is not looked at.
    """
    if sparse.issparse(rows):  # words have no centre
        return "separate"
    if weights is not None:
        source, target = source[weights[source] > 0], target[weights[target] > 0]
    return "separate" if own_neighbours(rows[source], rows[target]) > APART else "shared"


def own_neighbours(source: np.ndarray, target: np.ndarray) -> float:
    """Return the share of target rows whose nearest row is of the target: a half where the domains are alike.

    Where rows of both mix, the target is no new place. Other shares of classes, or of kinds of rows, have moved its
    mean, and with a centre of its own rows would move to wrong classes.

    The nearest-neighbour test of two samples (Schilling 1986; Henze 1988), on as many rows of either, each column by
    its deviation, along the leading principal components. Rows that are there twice count once; ties count half.
    """
    rng = np.random.default_rng(0)
    parts = [np.unique(_some(np.asarray(rows, dtype=np.float64), 4 * SEEN, rng), axis=0) for rows in (source, target)]
    n = min(len(parts[0]), len(parts[1]), SEEN)
    if n < 2:
        return 0.5
    both = StandardScaler().fit_transform(np.vstack([_some(rows, n, rng) for rows in parts]))
    if min(both.shape) > N_COMPONENTS:
        both = PCA(N_COMPONENTS, svd_solver="randomized", random_state=0).fit_transform(both)
    to_other = NearestNeighbors(n_neighbors=1).fit(both[:n]).kneighbors(both[n:])[0][:, 0]
    to_own = NearestNeighbors(n_neighbors=1).fit(both[n:]).kneighbors()[0][:, 0]  # but not itself
    return float(np.mean(to_own < to_other) + np.mean(to_own == to_other) / 2)


def _some(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= n else rows[rng.permutation(len(rows))[:n]]
