"""Distances of means and covariances."""

from __future__ import annotations

from typing import Any

from sktl.metrics.distances._two_samples import bures, deviations, two_samples


def coral_distance(source: Any, target: Any) -> float:
    """Return the CORAL distance: how far the covariances of two domains are apart [1]_.

    The squared Frobenius norm of their difference, by 4 times the squared number of codes. Means do not enter.

    Parameters
    ----------
    source, target : array-like of shape (n_rows, n_codes)
        Codes of the two domains.

    Returns
    -------
    float
        0 for equal covariances; in the fourth power of the codes' unit.

    Raises
    ------
    TypeError, ValueError
        If either is no table of finite numbers, has fewer than two rows or other columns than the other.

    References
    ----------
    .. [1] B. Sun and K. Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV workshops, 2016.

    Examples
    --------
    >>> from sktl.metrics.distances import coral_distance
    >>> round(coral_distance([[0.0], [2.0]], [[0.0], [4.0]]), 3)  # variances 2 and 8: 36 / 4
    9.0
    """
    first, second = (deviations(rows) for rows in two_samples(source, target))
    d = first.shape[1]
    # |S - T|^2 = tr(SS) + tr(TT) - 2 tr(ST), each by the smaller product where there are more codes than rows
    if d <= len(first) + len(second):
        difference = first.T @ first - second.T @ second
        return float((difference**2).sum() / (4 * d**2))
    squares = [((a @ b.T) ** 2).sum() for a, b in ((first, first), (second, second), (first, second))]
    return float(max(0.0, squares[0] + squares[1] - 2 * squares[2]) / (4 * d**2))


def frechet_distance(source: Any, target: Any) -> float:
    """Return the Fréchet distance of Gaussians fitted to the two domains: the FID, for codes of any network [1]_ [2]_.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2)``, the squared 2-Wasserstein distance of the Gaussians. It grows with
    few rows: compare distances of equally many rows.

    Parameters
    ----------
    source, target : array-like of shape (n_rows, n_codes)
        Codes of the two domains.

    Returns
    -------
    float
        0 for equal means and covariances; in the square of the codes' unit.

    Raises
    ------
    TypeError, ValueError
        If either is no table of finite numbers, has fewer than two rows or other columns than the other.

    References
    ----------
    .. [1] D. C. Dowson and B. V. Landau, "The Fréchet distance between multivariate normal distributions", Journal of
       Multivariate Analysis 12, 1982.
    .. [2] M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter, "GANs trained by a two time-scale
       update rule converge to a local Nash equilibrium", NeurIPS, 2017.

    Examples
    --------
    >>> from sktl.metrics.distances import frechet_distance
    >>> round(frechet_distance([[-1.0], [0.0], [1.0]], [[1.0], [3.0], [5.0]]), 3)  # N(0, 1) and N(3, 4): 9 + (2 - 1)^2
    10.0
    """
    first, second = two_samples(source, target)
    gap = first.mean(axis=0) - second.mean(axis=0)
    return float(gap @ gap + bures(deviations(first), deviations(second)))
