"""How alike two representations of the same rows are."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl.metrics.transferability._labelled_codes import matrix


def linear_cka(codes: Any, others: Any, *, debiased: bool = False) -> float:
    """Return the linear centred kernel alignment of two representations of the same rows [1]_.

    It does not change with rotation or scale of either, and compares layers of different widths.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Rows, as one layer or network shows them.
    others : array-like of shape (n, n_others)
        The same rows, as another shows them.
    debiased : bool, default=False
        Whether to take the unbiased estimate of dependence [2]_: with more codes than rows the plain value is near 1
        for unrelated representations too. Needs at least 4 rows; may fall below 0.

    Returns
    -------
    float
        From 0 to 1, for representations that are alike.

    Raises
    ------
    TypeError, ValueError
        If either is no table of finite numbers, or they have not the same rows.

    References
    ----------
    .. [1] S. Kornblith, M. Norouzi, H. Lee and G. Hinton, "Similarity of neural network representations revisited",
       ICML, 2019.
    .. [2] L. Song, A. Smola, A. Gretton, J. Bedo and K. Borgwardt, "Feature selection via dependence maximization",
       JMLR 13, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.distances import linear_cka
    >>> codes = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(linear_cka(codes, 7 * codes[:, ::-1]), 3)
    1.0
    """
    first, second = matrix(codes, "codes"), matrix(others, "others")
    if len(first) != len(second):
        raise ValueError(f"codes and others must be of the same rows; got {len(first)} and {len(second)}.")
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    if debiased:
        if len(first) < 4:
            raise ValueError(f"debiased=True needs at least 4 rows; got {len(first)}.")
        grams = [rows @ rows.T for rows in (first, second)]
        own = [_unbiased_hsic(gram, gram) for gram in grams]
        across = _unbiased_hsic(*grams)
        return across / np.sqrt(own[0] * own[1]) if min(own) > 0 else 0.0
    # CKA = |Y'X|^2 / (|X'X| |Y'Y|)
    grams = [rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows for rows in (first, second)]
    lengths = float(np.linalg.norm(grams[0]) * np.linalg.norm(grams[1]))
    return float(np.linalg.norm(second.T @ first) ** 2 / lengths) if lengths > 0 else 0.0


def _unbiased_hsic(gram: np.ndarray, other: np.ndarray) -> float:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion, by Song's formula."""
    n = len(gram)
    k, m = (part - np.diag(np.diag(part)) for part in (gram, other))
    ones = np.ones(n)
    # tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'KL1 / (n-2), by n (n-3)
    total = (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (ones @ k) @ (m @ ones) / (n - 2)
    return float(total / (n * (n - 3)))
