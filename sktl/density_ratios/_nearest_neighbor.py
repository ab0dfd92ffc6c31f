"""Ratios by nearest neighbours."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils._param_validation import Interval

from sktl.density_ratios._base import DensityRatio, in_one_unit


class NearestNeighborRatio(DensityRatio):
    """A source row counts as many times as it is the nearest one to a target row [1]_.

    There is nothing to choose but how much every row counts beforehand. With few target rows in many columns the counts
    are unsteady.

    Parameters
    ----------
    smoothing : float, default=1.0
        What is added to each count; 1 is Laplace's rule, as in the paper.

    References
    ----------
    .. [1] M. Loog, "Nearest neighbor-based importance weighting", IEEE Workshop on Machine Learning for Signal
       Processing, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.density_ratios import NearestNeighborRatio
    >>> NearestNeighborRatio().estimate(np.array([[0.0], [5.0]]), np.array([[4.0], [6.0]])).tolist()
    [0.5, 1.5]
    """

    _parameter_constraints: ClassVar[dict] = {"smoothing": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, smoothing: float = 1.0):
        self.smoothing = smoothing

    def _estimate(self, source: Any, target: Any) -> np.ndarray:
        source, target, _ = in_one_unit(source, target)
        nearest = pairwise_distances_argmin(target, source)
        counts = np.bincount(nearest, minlength=source.shape[0]) + self.smoothing
        return counts / counts.mean()
