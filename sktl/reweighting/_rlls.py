"""RLLS: shares of classes by confusions, held near those of the source."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import lsq_linear
from sklearn.utils._param_validation import Interval

from sktl.reweighting._label_shift import LabelShift, confusion, hardened

CONFIDENCE = 0.05  # delta in the paper's bound


class RLLS(LabelShift):
    """Regularised learning under label shift: `BBSE`'s system, solved so that ratios far from 1 have to be paid for.

    The price goes with the uncertainty of the confusions, which falls with the number of rows [1]_. The choice to start
    with for label shift, when rows or classes are few.

    Parameters
    ----------
    strength : float, default=0.01
        What the paper's bound of the uncertainty is multiplied by; its authors use 0.01.
    gamma : float, default=1.0
        How much of the found difference from the source is used; below 1 for very few target rows.

    References
    ----------
    .. [1] K. Azizzadenesheli, A. Liu, F. Yang and A. Anandkumar, "Regularized learning for domain adaptation under
       label shifts", ICLR, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.reweighting import RLLS
    >>> y = np.repeat([0, 1], 500)
    >>> proba = np.eye(2)[y]  # a classifier without errors
    >>> RLLS().estimate(y, proba, proba[250:]).round(2)  # a third of class 0, in place of a half
    array([0.67, 1.33])
    """

    _parameter_constraints: ClassVar[dict] = {
        "strength": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, *, strength: float = 0.01, gamma: float = 1.0):
        self.strength = strength
        self.gamma = gamma

    def _estimate(
        self, y: np.ndarray, prior: np.ndarray, proba_source: np.ndarray, proba_target: np.ndarray
    ) -> np.ndarray:
        source, target = hardened(proba_source), hardened(proba_target)
        n, k = source.shape
        bound = 3 * (2 * np.log(2 * k / CONFIDENCE) / (3 * n) + np.sqrt(2 * np.log(2 * k / CONFIDENCE) / n))
        C = confusion(y, source)
        return 1 + self.gamma * shrunken(C, target.mean(axis=0) - C.sum(axis=1), self.strength * bound)


def shrunken(C: np.ndarray, b: np.ndarray, rho: float) -> np.ndarray:
    """Return the theta >= -1 that minimises |C theta - b| + rho |theta|, with norms that are not squared."""
    # Each minimiser of |C theta - b|^2 + r |theta|^2 is one of ours, for rho = r |theta| / |C theta - b|, which rises
    # with r: the right r is found by halving.
    if not b.any():
        return np.zeros(len(b))
    low, high = -30.0, 30.0  # logarithms of r
    for _ in range(60):
        middle = (low + high) / 2
        theta = _ridge(C, b, float(np.exp(middle)))
        if np.exp(middle) * np.linalg.norm(theta) > rho * np.linalg.norm(C @ theta - b):
            high = middle
        else:
            low = middle
    return _ridge(C, b, float(np.exp(low)))


def _ridge(C: np.ndarray, b: np.ndarray, strength: float) -> np.ndarray:
    k = C.shape[1]
    rows = np.concatenate([C, np.sqrt(strength) * np.eye(k)])
    found: Any = lsq_linear(rows, np.concatenate([b, np.zeros(k)]), bounds=(-1, np.inf), method="bvls")
    return found.x
