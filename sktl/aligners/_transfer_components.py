"""Transfer component analysis: directions of a kernel along which the domains' means agree."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import linalg
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._domains import Domains
from sktl.aligners._base import Aligner, warn_of_few


class TransferComponentAnalysis(Aligner):
    """Transfer component analysis: much variance, and little distance between the domains' means [1]_.

    Rows become coordinates along components of a kernel, chosen so that the means of both domains (their maximum mean
    discrepancy) lie close together while the rows spread. It departs from the paper in three ways. The kernel is
    divided by its mean diagonal, which is 1 for "rbf", so that `regularization` means the same on any scale. The
    variance of a component falls as its eigenvalue does, and is 1 for the first: with variance 1 for each, late
    components, which are mostly noise, would weigh as much as early ones. Above `max_rows` rows, components are sums
    over that many rows, drawn at random, instead of over all.

    Parameters
    ----------
    n_components : int, default=30
        Components; fewer where the kernel has fewer.
    kernel : {"linear", "rbf"}, default="linear"
        Likeness of two rows.
    gamma : float or "scale", default="scale"
        Of "rbf"; "scale" is 1 / (n_features * variance of X).
    regularization : float, default=1.0
        Mu in the paper: smaller values follow the rows more closely.
    max_rows : int, default=2000
        Rows that components are made of; time grows with its third power.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    random_state : int, RandomState or None, default=None
        Draws the rows, where there are more than `max_rows`.

    Attributes
    ----------
    n_components_ : int
        Components that there are.
    gamma_ : float
        What "scale" became.
    coefficients_ : ndarray of shape (n_rows_kept, n_components)
        W in the paper.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] S. J. Pan et al., "Domain adaptation via transfer component analysis", IEEE Transactions on Neural Networks,
       2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import TransferComponentAnalysis
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> y = np.repeat([0, 1, -1], [25, 25, 50])
    >>> TransferComponentAnalysis(n_components=2, kernel="rbf").fit_transform(X, y).shape
    (100, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "kernel": [StrOptions({"linear", "rbf"})],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"scale"})],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 30,
        *,
        kernel: str = "linear",
        gamma: Any = "scale",
        regularization: float = 1.0,
        max_rows: int = 2000,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.regularization = regularization
        self.max_rows = max_rows
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    def _learn(self, X: np.ndarray, domains: Domains, y: np.ndarray) -> int:
        rows, is_target = X.astype(np.float64), domains.is_target
        n, n_target = len(rows), int(is_target.sum())
        warn_of_few("TransferComponentAnalysis", n - n_target, n_target, 2, "its only row stands for its mean")
        self._unit = np.abs(rows).max() or 1.0
        rows /= self._unit
        variance = rows.var()
        self._gamma = 1 / (rows.shape[1] * (variance or 1.0)) if self.gamma == "scale" else self.gamma * self._unit**2
        self.gamma_ = self._gamma / self._unit**2
        self._rows, self._diagonal = rows, 1.0
        if n > self.max_rows:
            chosen = check_random_state(self.random_state).choice(n, self.max_rows, replace=False)
            self._rows = rows[np.sort(chosen)]
        if self.kernel == "linear":
            self._diagonal = float(np.einsum("ij,ij->", rows, rows) / n) or 1.0
        K = self._kernel(rows)  # (n, m)
        self._mean = K.mean(axis=0)
        apart = K[~is_target].mean(axis=0) - K[is_target].mean(axis=0)  # K^T L K is its outer product
        spread = K - self._mean  # K^T H K = spread^T spread
        self.coefficients_ = components(spread, apart, self.regularization, self.n_components)
        self.coefficients_ *= np.sqrt(n)  # the first column has variance 1
        self.n_components_ = self.coefficients_.shape[1]
        return self.n_components_

    def _map(self, X: np.ndarray, domains: Domains) -> np.ndarray:
        return (self._kernel(X / self._unit) - self._mean) @ self.coefficients_

    def _kernel(self, rows: np.ndarray) -> np.ndarray:
        options = {"gamma": self._gamma} if self.kernel == "rbf" else {}
        return pairwise_kernels(rows, self._rows, metric=self.kernel, **options) / self._diagonal


def components(spread: np.ndarray, apart: np.ndarray, regularization: float, most: int) -> np.ndarray:
    """Return W, which maximises tr(W^T H W) for W^T (mu I + a a^T) W = I.

    H is spread^T spread, and a is `apart`. W is divided by the root of the largest eigenvalue. Directions without
    spread are left out; one column of zeros is returned where there is no other.
    """
    m = spread.shape[1]
    regularized = regularization * np.eye(m) + np.outer(apart, apart)
    first = max(0, m - most)
    values, W = linalg.eigh(spread.T @ spread, regularized, subset_by_index=(first, m - 1))
    values, W = values[::-1], W[:, ::-1]
    kept = values > max(values[0], 0.0) * max(spread.shape) * np.finfo(float).eps
    if not kept.any():
        return np.zeros((m, 1))
    W = W[:, kept] / np.sqrt(values[0])
    largest = np.abs(W).argmax(axis=0)
    return W * np.where(W[largest, np.arange(W.shape[1])] < 0, -1.0, 1.0)
