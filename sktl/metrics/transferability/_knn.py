"""k nearest neighbours, each row left out once."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from sktl.metrics.transferability._labelled_codes import labelled_codes

ROWS_AT_ONCE = 1024
METRICS = ("cosine", "euclidean")


def knn_leave_one_out(codes: Any, y: Any, *, n_neighbors: int = 5, metric: str = "cosine") -> np.ndarray:
    """Predict the label of every row from its nearest neighbours among all other rows.

    Nothing is trained, so leaving each row out is exact and costs one product of the codes with themselves. The most
    frequent label wins; between equally frequent ones that of the nearer neighbours.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows, such as `CNNCodesTransformer` gives.
    y : array-like of shape (n,)
        Labels of any type.
    n_neighbors : int, default=5
        Neighbours that vote; fewer if there are fewer rows. Start with 5, and 1 with a handful of rows a class.
    metric : {"cosine", "euclidean"}, default="cosine"
        "cosine" for codes of networks, "euclidean" for standardised rows.

    Returns
    -------
    ndarray of shape (n,)
        The labels predicted.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them or holds one class, or a parameter is wrong.

    See Also
    --------
    knn_accuracy : The share of right labels.

    Examples
    --------
    >>> from sktl.metrics.transferability import knn_leave_one_out
    >>> knn_leave_one_out([[1, 0], [2, 0.1], [0, 1], [0.1, 3]], ["a", "a", "b", "b"], n_neighbors=1).tolist()
    ['a', 'a', 'b', 'b']
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be 'cosine' or 'euclidean'; got {metric!r}.")
    if not isinstance(n_neighbors, Integral) or isinstance(n_neighbors, bool) or n_neighbors < 1:
        raise ValueError(f"n_neighbors must be an integer, at least 1; got {n_neighbors!r}.")
    rows = labelled_codes(codes, y, "knn_leave_one_out")
    n, k = len(rows.codes), min(int(n_neighbors), len(rows.codes) - 1)
    points = _unit(rows.codes) if metric == "cosine" else rows.codes - rows.codes.mean(axis=0)
    squares = (points**2).sum(axis=1)
    predicted = np.empty(n, dtype=int)
    for start in range(0, n, ROWS_AT_ONCE):
        block = np.arange(start, min(start + ROWS_AT_ONCE, n))
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b; of rows of unit length it orders neighbours as the cosine does
        distances = squares[block, None] + squares - 2 * points[block] @ points.T  # (block, n)
        distances[np.arange(len(block)), block] = np.inf
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        predicted[block] = _votes(rows.number[nearest], np.take_along_axis(distances, nearest, axis=1))
    return rows.classes[predicted]


def knn_accuracy(codes: Any, y: Any, *, n_neighbors: int = 5, metric: str = "cosine") -> float:
    """Return the accuracy of k nearest neighbours, each row predicted from all others.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows.
    y : array-like of shape (n,)
        Labels of any type.
    n_neighbors : int, default=5
        Neighbours that vote.
    metric : {"cosine", "euclidean"}, default="cosine"
        How near is measured.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As `knn_leave_one_out` does.

    Examples
    --------
    >>> from sktl.metrics.transferability import knn_accuracy
    >>> knn_accuracy([[1, 0], [2, 0.1], [0, 1], [0.1, 3]], ["a", "a", "b", "b"], n_neighbors=1)
    1.0
    """
    predicted = knn_leave_one_out(codes, y, n_neighbors=n_neighbors, metric=metric)
    rows = labelled_codes(codes, y, "knn_accuracy")
    return float(np.mean(predicted == rows.classes[rows.number]))


def _unit(codes: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    return codes / np.where(lengths > 0, lengths, 1.0)


def _votes(labels: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return the class that most of each row's neighbours have, of equals the one whose neighbours are nearer."""
    same = labels[:, :, None] == labels[:, None, :]  # (n, k, k): which neighbours agree with the i-th one
    count = same.sum(axis=2)
    total = np.where(same, distances[:, None, :], 0.0).sum(axis=2)
    best = np.lexsort((total, -count), axis=1)[:, 0]
    return labels[np.arange(len(labels)), best]
