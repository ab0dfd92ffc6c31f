"""A linear classifier by ridge regression, each row left out once, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from sktl.metrics.transferability._labelled_codes import labelled_codes

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class HeldOutOutputs:
    """What a linear classifier says of rows that it was not fitted on.

    Attributes
    ----------
    outputs : ndarray of shape (n, n_classes)
        One column a class, near 1 for the row's own class and 0 for the others.
    classes : ndarray of shape (n_classes,)
        The labels, in the order of the columns.
    penalty : float
        The one that predicts rows left out with the least squared error.
    """

    outputs: np.ndarray
    classes: np.ndarray
    penalty: float

    @property
    def labels(self) -> np.ndarray:
        """The label of the largest output of each row, (n,)."""
        return self.classes[self.outputs.argmax(axis=1)]


def ridge_leave_one_out(codes: Any, y: Any, *, penalties: Sequence[float] = PENALTIES) -> HeldOutOutputs:
    """Fit a linear classifier by ridge regression without each row in turn, and return what it says of that row.

    The n fits are exact and cost one decomposition: a row's residual when left out is its residual in the fit of all
    rows, divided by one less its leverage [1]_. The intercept is not penalised, and is left out with the row too.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows. Bring codes of networks to unit length first.
    y : array-like of shape (n,)
        Labels of any type.
    penalties : sequence of float, default=(0.001, 0.01, 0.1, 1, 10, 100)
        Candidates, above 0, as multiples of the mean squared distance of the codes from their mean: the same numbers
        serve codes of any scale.

    Returns
    -------
    HeldOutOutputs
        ``outputs`` (n, n_classes), ``labels`` (n,), ``classes`` and the chosen ``penalty``.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them or holds one class, or a penalty is not above 0.

    See Also
    --------
    linear_probe : The share of right labels.

    References
    ----------
    .. [1] R. M. Rifkin and R. A. Lippert, "Notes on regularized least squares", MIT-CSAIL-TR-2007-025, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.transferability import ridge_leave_one_out
    >>> found = ridge_leave_one_out([[0.0], [0.1], [0.9], [1.0]], ["a", "a", "b", "b"])
    >>> found.labels.tolist(), found.outputs.shape
    (['a', 'a', 'b', 'b'], (4, 2))
    """
    candidates = [float(penalty) for penalty in penalties]
    if not candidates or not all(0 < penalty < np.inf for penalty in candidates):
        raise ValueError(f"penalties must be one or more finite numbers above 0; got {penalties!r}.")
    rows = labelled_codes(codes, y, "ridge_leave_one_out")
    n, targets = len(rows.codes), rows.one_hot()
    centred = rows.codes - rows.codes.mean(axis=0)
    basis, variances = _left_basis(centred)  # centred @ centred.T = basis diag(variances) basis.T
    scale = (centred**2).sum() / n or 1.0
    mean = targets.mean(axis=0)
    coefficients = basis.T @ (targets - mean)  # (rank, n_classes)
    best, least = None, np.inf
    for penalty in candidates:
        shrink = variances / (variances + penalty * scale)
        fitted = mean + basis @ (shrink[:, None] * coefficients)
        leverage = 1 / n + (basis**2) @ shrink
        # f_without_i(x_i) = y_i - (y_i - f(x_i)) / (1 - h_i)
        held_out = targets - (targets - fitted) / (1 - leverage)[:, None]
        error = ((targets - held_out) ** 2).sum()
        if error < least:
            best, least = HeldOutOutputs(held_out, rows.classes, penalty), error
    assert best is not None  # errors are finite
    return best


def linear_probe(codes: Any, y: Any, *, penalties: Sequence[float] = PENALTIES) -> float:
    """Return the accuracy of a linear classifier on codes, each row predicted by a fit without it [1]_.

    This is the score to start with: it measures what a linear classifier on fixed codes will do, and takes a second
    for thousands of rows. Codes that say nothing score below the share of the largest class, for a row that is left
    out makes its own class the rarer one.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows. Bring codes of networks to unit length first.
    y : array-like of shape (n,)
        Labels of any type.
    penalties : sequence of float, default=(0.001, 0.01, 0.1, 1, 10, 100)
        Candidates, as in `ridge_leave_one_out`.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As `ridge_leave_one_out` does.

    References
    ----------
    .. [1] G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop,
       2017.

    Examples
    --------
    >>> from sktl.metrics.transferability import linear_probe
    >>> linear_probe([[0.0], [0.1], [0.9], [1.0]], ["a", "a", "b", "b"])
    1.0
    """
    found = ridge_leave_one_out(codes, y, penalties=penalties)
    rows = labelled_codes(codes, y, "linear_probe")
    return float(np.mean(found.outputs.argmax(axis=1) == rows.number))


def _left_basis(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the left singular vectors (n, rank) and squared singular values (rank,), by the smaller Gram matrix."""
    n, d = centred.shape
    if n <= d:
        variances, basis = linalg.eigh(centred @ centred.T)
        kept = variances > variances[-1] * n * np.finfo(float).eps
        return basis[:, kept], variances[kept]
    variances, right = linalg.eigh(centred.T @ centred)
    kept = variances > variances[-1] * n * np.finfo(float).eps
    return centred @ (right[:, kept] / np.sqrt(variances[kept])), variances[kept]
