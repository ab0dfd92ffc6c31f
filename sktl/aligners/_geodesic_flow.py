"""The geodesic flow kernel: likeness of rows along the way from the source's subspace to the target's."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from scipy import linalg
from sklearn.utils._param_validation import Interval

from sktl._domains import Domains
from sktl.aligners._base import Aligner, warn_of_few
from sktl.aligners._spectrum import principal_pair


class GeodesicFlowKernel(Aligner):
    """The geodesic flow kernel as features: dot products of mapped rows are the kernel [1]_.

    Between the first directions of the source and those of the target lies a path of subspaces. The kernel is the dot
    product of two rows in each of these, summed along the path, in closed form. Rows of both domains are mapped alike,
    after each domain's mean is taken away. Bring columns to one scale before (`DomainStandardizer`). The paper
    classifies by one nearest neighbour.

    Parameters
    ----------
    n_components : int or None, default=None
        Directions of each domain; None is 20, or as many as both domains have if these are fewer. The output has twice
        as many columns, for it holds directions of both.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    n_components_ : int
        Directions of each domain.
    angles_ : ndarray of shape (n_components,)
        Principal angles between the two subspaces, from 0 to pi / 2.
    components_ : ndarray of shape (2 * n_components, n_features)
        The kernel's matrix G is ``components_.T @ components_``.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] B. Gong et al., "Geodesic flow kernel for unsupervised domain adaptation", CVPR, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import GeodesicFlowKernel
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> y = np.repeat([0, 1, -1], [25, 25, 50])
    >>> GeodesicFlowKernel(n_components=2).fit_transform(X, y).shape
    (100, 4)
    """

    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, n_components: int | None = None, *, unlabelled: Any = -1, target_domain: Any = None):
        self.n_components = n_components
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    def _learn(self, X: np.ndarray, domains: Domains, y: np.ndarray) -> int | None:
        is_target = domains.is_target
        n_target = int(is_target.sum())
        warn_of_few("GeodesicFlowKernel", len(X) - n_target, n_target, 2, "only the means are matched")
        source, target = principal_pair(X, is_target, self.n_components)
        self._means = source.mean, target.mean
        self.n_components_ = source.directions.shape[1]
        self.angles_, factor = flow(source.directions, target.directions)
        self.components_ = factor.T
        return 2 * self.n_components_ or None

    def _map(self, X: np.ndarray, domains: Domains) -> np.ndarray:
        X -= np.where(domains.is_target[:, None], self._means[1], self._means[0])
        return X @ self.components_.T if self.n_components_ else X


def flow(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal angles (k,) and F of shape (d, 2 k), where G = F F^T is the kernel's matrix.

    With P_s^T P_t = U cos(theta) V^T, the path is Phi(t) = A cos(t theta) + B sin(t theta), where A = P_s U, and B are
    the directions of P_t V that are orthogonal to A. Then G is the integral of Phi(t) Phi(t)^T over t from 0 to 1:
    a block [[l1, l2], [l2, l3]] for each pair of columns of A and B, with l1 = (1 + sin(2 theta) / (2 theta)) / 2,
    l2 = (1 - cos(2 theta)) / (4 theta), l3 = (1 - sin(2 theta) / (2 theta)) / 2.
    """
    if not source.shape[1]:
        return np.zeros(0), np.zeros((len(source), 0))
    left, cosines, right = linalg.svd(source.T @ target)
    a = source @ left
    residual = target @ right.T - a * np.clip(cosines, 0, 1)
    sines = np.linalg.norm(residual, axis=0)
    theta = np.arctan2(sines, cosines)
    b = np.divide(residual, sines, out=np.zeros_like(residual), where=sines > 1e-7)
    sinc = np.sinc(2 * theta / np.pi)  # sin(2 theta) / (2 theta), 1 at 0
    l1, l3 = (1 + sinc) / 2, np.maximum((1 - sinc) / 2, 0)
    l2 = np.sin(theta) * np.sinc(theta / np.pi) / 2  # (1 - cos(2 theta)) / (4 theta), 0 at 0
    # Cholesky of each block: l1 is 1/2 at least
    c1 = np.sqrt(l1)
    c2 = l2 / c1
    c3 = np.sqrt(np.maximum(l3 - c2**2, 0))
    return theta, np.hstack([a * c1 + b * c2, b * c3])
