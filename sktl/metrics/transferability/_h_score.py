"""How much of the codes' spread lies between the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg
from sklearn.covariance import ledoit_wolf_shrinkage

from sktl.metrics.transferability._labelled_codes import labelled_codes


def h_score(codes: Any, y: Any, *, shrinkage: float | str = "auto") -> float:
    """Return the regularised H-score: the spread of the class means, relative to the spread of the codes [1]_ [2]_.

    With more codes than rows the covariance has no inverse, and the plain H-score is arbitrary. Here it is drawn
    towards a multiple of the identity by Ledoit and Wolf's share [2]_.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows.
    y : array-like of shape (n,)
        Labels of any type.
    shrinkage : float or "auto", default="auto"
        Share of the identity in the covariance, from 0 (the plain H-score, by pseudo-inverse) to 1. "auto" is Ledoit
        and Wolf's.

    Returns
    -------
    float
        From 0 to the number of classes less 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them or holds one class, or `shrinkage` is no share.

    References
    ----------
    .. [1] Y. Bao et al., "An information-theoretic approach to transferability in task transfer learning", ICIP, 2019.
    .. [2] S. Ibrahim, N. Ponomareva and R. Mazumder, "Newer is not always better: rethinking transferability metrics,
       their peculiarities, stability and performance", ECML PKDD, 2022.

    Examples
    --------
    >>> from sktl.metrics.transferability import h_score
    >>> round(h_score([[0.0], [0.0], [1.0], [1.0]], ["a", "a", "b", "b"], shrinkage=0.0), 3)  # means are all there is
    1.0
    """
    if shrinkage != "auto" and not (isinstance(shrinkage, (int, float)) and 0 <= shrinkage <= 1):
        raise ValueError(f"shrinkage must be 'auto' or a share from 0 to 1; got {shrinkage!r}.")
    rows = labelled_codes(codes, y, "h_score")
    n, d = rows.codes.shape
    centred = rows.codes - rows.codes.mean(axis=0)
    share = ledoit_wolf_shrinkage(centred, assume_centered=True) if shrinkage == "auto" else float(shrinkage)
    # C = (1 - share) X'X/n + share tr(X'X/n)/d I has the right singular vectors of X, and this inverse along them
    _, singular, right = linalg.svd(centred, full_matrices=False)
    variances = singular**2 / n
    shrunk = (1 - share) * variances + share * variances.sum() / d
    kept = shrunk > np.finfo(float).eps * n * variances.max(initial=0)
    if not kept.any():
        return 0.0
    sums = np.zeros((len(rows.classes), d))
    np.add.at(sums, rows.number, centred)
    means = sums / rows.sizes[:, None]
    # H = (1 - share) tr(C^-1 sum_c n_c/n m_c m_c')
    coordinates = means @ right[kept].T
    return float((1 - share) * ((rows.sizes / n) @ (coordinates**2 / shrunk[kept]).sum(axis=1)))
