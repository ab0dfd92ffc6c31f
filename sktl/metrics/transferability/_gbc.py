"""How much the classes' Gaussians overlap."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from sktl.metrics.transferability._labelled_codes import labelled_codes

LEAST_VARIANCE = 1e-6  # of the mean variance
COVARIANCES = ("diagonal", "spherical")


def gbc(codes: Any, y: Any, *, covariance: str = "diagonal", n_components: int | None = 64) -> float:
    """Return the Gaussian Bhattacharyya coefficient: less the overlap of all pairs of classes [1]_.

    Each class is a Gaussian on the principal components of the codes. Two classes overlap by exp(-D), with D their
    Bhattacharyya distance. A class of one row has the mean variance of the others.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows.
    y : array-like of shape (n,)
        Labels of any type.
    covariance : {"diagonal", "spherical"}, default="diagonal"
        A variance for each class and component, or one for each class, which few rows tell better.
    n_components : int or None, default=64
        Principal components kept, at most; None takes codes as they are.

    Returns
    -------
    float
        The negative sum of overlaps over ordered pairs of classes: from -n_classes (n_classes - 1) to 0, higher is
        better.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them or holds one class, or a parameter is wrong.

    References
    ----------
    .. [1] M. Pándy, A. Agostinelli, J. Uijlings, V. Ferrari and T. Mensink, "Transferability estimation using
       Bhattacharyya class separability", CVPR, 2022.

    Examples
    --------
    >>> from sktl.metrics.transferability import gbc
    >>> apart = gbc([[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"])
    >>> mixed = gbc([[0.0], [0.1], [0.0], [0.1]], ["a", "a", "b", "b"])
    >>> round(apart, 3) + 0.0, round(mixed, 3)
    (0.0, -2.0)
    """
    if covariance not in COVARIANCES:
        raise ValueError(f"covariance must be 'diagonal' or 'spherical'; got {covariance!r}.")
    if n_components is not None and (not isinstance(n_components, Integral) or n_components < 1):
        raise ValueError(f"n_components must be an integer, at least 1, or None; got {n_components!r}.")
    rows = labelled_codes(codes, y, "gbc")
    points = rows.codes
    if n_components is not None and n_components < points.shape[1]:
        kept = min(int(n_components), *points.shape)
        points = PCA(kept, svd_solver="full" if min(points.shape) < 500 else "auto", random_state=0).fit_transform(
            points
        )
    means, variances = _gaussians(points, rows.number, rows.sizes, covariance)
    log_dets = np.log(variances).sum(axis=1)
    overlap = 0.0
    for c in range(len(means) - 1):
        mean, log_det = means[c + 1 :], log_dets[c + 1 :]
        between = (variances[c + 1 :] + variances[c]) / 2
        # D = 1/8 (m1 - m2)' S^-1 (m1 - m2) + 1/2 log(|S| / sqrt(|S1| |S2|)), with S = (S1 + S2) / 2
        distance = ((mean - means[c]) ** 2 / between).sum(axis=1) / 8
        distance += (np.log(between).sum(axis=1) - (log_det + log_dets[c]) / 2) / 2
        overlap += np.exp(-distance).sum()
    return float(-2 * overlap)


def _gaussians(points: np.ndarray, number: np.ndarray, sizes: np.ndarray, covariance: str):
    """Return the classes' means and variances, each (n_classes, n_components)."""
    sums, squares = (np.zeros((len(sizes), points.shape[1])) for _ in range(2))
    np.add.at(sums, number, points)
    means = sums / sizes[:, None]
    np.add.at(squares, number, (points - means[number]) ** 2)
    several = sizes > 1
    variances = squares / np.maximum(sizes - 1, 1)[:, None]
    variances[~several] = variances[several].mean(axis=0) if several.any() else points.var(axis=0)
    if covariance == "spherical":
        variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape).copy()
    total = points.var(axis=0).mean() or 1.0
    return means, np.maximum(variances, LEAST_VARIANCE * total)
