"""Transfer kernel learning: the target's kernel, with a spectrum that fits the source too."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import linalg
from scipy.optimize import lsq_linear, nnls
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._domains import Domains
from sktl._draws import seed_of
from sktl.aligners._base import Aligner, warn_of_few
from sktl.aligners._components import Projection, drawn_rows, fitted_kernel
from sktl.aligners._spectrum import signed


class TransferKernelLearning(Aligner):
    """Transfer kernel learning (TKL) as features: dot products of mapped rows are the learned kernel [1]_.

    The eigenvectors of the target's kernel are carried over to the source's rows by the Nystroem formula, and the
    eigenvalues are learned anew, so that the kernel comes closest to the source's own. Both domains are then rows of
    one kernel that is spanned by the target's directions. Rows of both domains are mapped alike. Bring columns to one
    scale before (`DomainStandardizer`). The paper classifies by a support vector machine: behind this aligner,
    ``SVC(kernel="linear")``.

    Parameters
    ----------
    damping : float, default=1.1
        Zeta in the paper, from 1 on: each eigenvalue is at least so many times the next. Larger values leave more of
        the kernel to its first directions.
    kernel : {"rbf", "linear"}, default="rbf"
        Likeness of two rows.
    gamma : float or "scale", default="scale"
        Of "rbf"; "scale" is 1 / (n_features * variance of X).
    n_components : int, default=500
        Eigenvectors at most; fewer where the kernel has fewer.
    max_rows : int, default=2000
        Target rows that the kernel's eigenvectors are those of, and source rows that it is compared on; drawn at
        random where there are more.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    random_state : int, RandomState or None, default=None
        Draws the rows, where there are more than `max_rows`.

    Attributes
    ----------
    n_components_ : int
        Eigenvectors that there are.
    eigenvalues_ : ndarray of shape (n_components,)
        Those that were learned, falling.
    gamma_ : float
        What "scale" became.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] M. Long et al., "Domain invariant transfer kernel learning", IEEE Transactions on Knowledge and Data
       Engineering, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import TransferKernelLearning
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> y = np.repeat([0, 1, -1], [25, 25, 50])
    >>> TransferKernelLearning(n_components=10).fit_transform(X, y).shape
    (100, 10)
    """

    _takes_sparse = True
    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "damping": [Interval(Real, 1, None, closed="left")],
        "kernel": [StrOptions({"linear", "rbf"})],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"scale"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        damping: float = 1.1,
        kernel: str = "rbf",
        gamma: Any = "scale",
        n_components: int = 500,
        max_rows: int = 2000,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.damping = damping
        self.kernel = kernel
        self.gamma = gamma
        self.n_components = n_components
        self.max_rows = max_rows
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> int:
        is_target = domains.is_target
        n_target = int(is_target.sum())
        n_source = X.shape[0] - n_target
        warn_of_few("TransferKernelLearning", n_source, n_target, 2, "its only row stands for all")
        random_state = np.random.RandomState(seed_of(self.random_state))
        of_target, rows = fitted_kernel(X, self.kernel, self.gamma, self.max_rows, random_state, among=is_target)
        of_source = replace(of_target, rows=rows[drawn_rows(~is_target, self.max_rows, random_state)])
        self.gamma_ = of_target.gamma / of_target.unit**2
        # K_Z = P L P^T; of any row, the Nystroem eigenvectors are k(x, Z) P / L
        values, vectors = _eigenpairs(of_target.of_scaled(of_target.rows), self.n_components)
        extended = vectors / values
        of_x = of_target.of_scaled(of_source.rows) @ extended
        self.eigenvalues_ = fitted_spectrum(of_x, of_source.of_scaled(of_source.rows), self.damping)
        weights = extended * np.sqrt(self.eigenvalues_)
        if self.kernel == "linear":
            weights = np.asarray(of_target.rows.T @ weights) / of_target.diagonal
        self._projection = Projection(of_target, weights, np.zeros(weights.shape[1]))
        self.n_components_ = weights.shape[1]
        return self.n_components_

    def _map(self, X: Any, domains: Domains) -> np.ndarray:
        return self._projection(X)


def _eigenpairs(kernel: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positive eigenvalues, falling, and their vectors; one of value 1 and zeros where there is none."""
    m = len(kernel)
    values, vectors = linalg.eigh(kernel, subset_by_index=(max(0, m - most), m - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    # smaller ones are noise, which the division by them would make large
    kept = values > max(values[0], 0.0) * 1e-10
    if not kept.any():
        return np.ones(1), np.zeros((m, 1))
    return values[kept], signed(vectors[:, kept])


def fitted_spectrum(vectors: np.ndarray, kernel: np.ndarray, damping: float) -> np.ndarray:
    """Return l, which minimises ||P diag(l) P^T - K||^2 for l_i >= damping l_(i+1) >= 0.

    The sum of squares is l^T Q l - 2 r^T l and a constant, Q = (P^T P)^2 entry by entry, r = diag(P^T K P). With steps
    t >= 0, l_i = t_i + damping l_(i+1), so l = T t with T_ij = damping^-i from the diagonal on, where t_j is counted in
    damping^-j: least squares with t >= 0.

    Parameters
    ----------
    vectors : ndarray of shape (n, r)
        P.
    kernel : ndarray of shape (n, n)
        K.
    damping : float
        1 or more.
    """
    size = np.abs(vectors).max() or 1.0
    P, r = vectors / size, vectors.shape[1]
    T = np.triu(np.repeat(damping ** -np.arange(r, dtype=float)[:, None], r, axis=1))  # steps in units of their own
    Q = T.T @ (P.T @ P) ** 2 @ T
    wanted = T.T @ np.einsum("ij,ij->j", P, kernel @ P)
    # a root of Q, in which the sum of squares is that of root t - root^-T wanted
    values, U = linalg.eigh(Q)
    kept = values > max(values[-1], 0.0) * r * np.finfo(float).eps
    if not kept.any() or not np.isfinite(values).all():
        return np.zeros(r)
    roots = np.sqrt(values[kept])
    rows, right = roots[:, None] * U[:, kept].T, (U[:, kept].T @ wanted) / roots
    try:
        steps, _ = nnls(rows, right, maxiter=30 * r)
    except RuntimeError:  # some releases of SciPy go round in circles where columns are alike
        steps = lsq_linear(rows, right, bounds=(0, np.inf)).x
    return T @ steps / size**2
