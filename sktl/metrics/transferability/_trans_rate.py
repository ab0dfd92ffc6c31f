"""How many more bits the codes take than the codes of each class."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from sktl.metrics.transferability._labelled_codes import labelled_codes


def trans_rate(codes: Any, y: Any, *, epsilon: float = 1e-4) -> float:
    """Return TransRate: the coding rate of all codes, less that of the codes of each class [1]_.

    An estimate of the mutual information of codes and labels, up to a distortion of `epsilon`. Classes count by their
    share of the rows, as in the paper's formula (its listing takes the plain mean, which is the same for classes of
    one size).

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows. The score depends on their scale: compare codes of one scale, such as unit length.
    y : array-like of shape (n,)
        Labels of any type.
    epsilon : float, default=0.0001
        The distortion, above 0.

    Returns
    -------
    float
        In nats; higher is better.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them or holds one class, or `epsilon` is not above 0.

    References
    ----------
    .. [1] L.-K. Huang, J. Huang, Y. Rong, Q. Yang and Y. Wei, "Frustratingly easy transferability estimation", ICML,
       2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.transferability import trans_rate
    >>> y = np.repeat([0, 1, 2], 20)
    >>> codes = np.eye(3)[y] + 0.1 * np.random.default_rng(0).normal(size=(60, 3))
    >>> trans_rate(codes, y) > trans_rate(codes, np.tile([0, 1, 2], 20))
    True
    """
    if not isinstance(epsilon, Real) or not 0 < float(epsilon) < np.inf:
        raise ValueError(f"epsilon must be a finite number above 0; got {epsilon!r}.")
    rows = labelled_codes(codes, y, "trans_rate")
    centred = rows.codes - rows.codes.mean(axis=0)
    order = np.argsort(rows.number, kind="stable")
    parts = np.split(centred[order], np.cumsum(rows.sizes)[:-1])
    within = [len(part) / len(centred) * _coding_rate(part, float(epsilon)) for part in parts]
    return float(_coding_rate(centred, float(epsilon)) - sum(within))


def _coding_rate(rows: np.ndarray, epsilon: float) -> float:
    """Return R(Z) = 1/2 log det(I + Z'Z / (n epsilon)), by the smaller of Z'Z and ZZ'."""
    n, d = rows.shape
    gram = rows @ rows.T if n < d else rows.T @ rows
    _, log_det = np.linalg.slogdet(np.eye(len(gram)) + gram / (n * epsilon))
    return float(log_det / 2)
