"""BBSE: shares of classes by a black box's confusions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sktl._warn_once import warn_user
from sktl.reweighting._label_shift import LabelShift, confusion, hardened

NEAR_SINGULAR = 1e-3  # of the largest singular value


class BBSE(LabelShift):
    """Black-box shift estimation: what the classifier confuses in the source tells the classes' shares in the target.

    The shares of predicted labels in the target are the source's confusions, weighted: a linear system [1]_. Its
    classifier need not be calibrated, only better than chance for each class. With few rows its ratios vary more than
    those of `RLLS`.

    Parameters
    ----------
    soft : bool, default=False
        Whether probabilities are summed instead of predicted labels; steadier with a calibrated classifier.

    References
    ----------
    .. [1] Z. C. Lipton, Y.-X. Wang and A. J. Smola, "Detecting and correcting for label shift with black box
       predictors", ICML, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.reweighting import BBSE
    >>> y = np.array([0, 0, 1, 1])
    >>> proba = np.eye(2)[y]  # a classifier without errors
    >>> BBSE().estimate(y, proba, proba[[0, 2, 3, 3]])  # a quarter of class 0, in place of a half
    array([0.5, 1.5])
    """

    _parameter_constraints: ClassVar[dict] = {"soft": ["boolean"]}

    def __init__(self, *, soft: bool = False):
        self.soft = soft

    def _estimate(
        self, y: np.ndarray, prior: np.ndarray, proba_source: np.ndarray, proba_target: np.ndarray
    ) -> np.ndarray:
        source, target = (proba if self.soft else hardened(proba) for proba in (proba_source, proba_target))
        # C w = mu,   C_ij = p_s(predicted i, true j),  mu_i = p_t(predicted i)
        C = confusion(y, source)
        warn_of_confusion(C)
        found: Any = np.linalg.lstsq(C, target.mean(axis=0), rcond=NEAR_SINGULAR)[0]
        return found


def warn_of_confusion(C: np.ndarray) -> None:
    """Say that classes are confused so much that their shares can hardly be told."""
    values = np.linalg.svd(C, compute_uv=False)
    if values[-1] <= NEAR_SINGULAR * values[0]:
        warn_user(
            "The classifier confuses some classes so much in the source that their shares in the target cannot be told "
            "apart. Use a better classifier, more rows, or RLLS, which stays near the source's shares."
        )
