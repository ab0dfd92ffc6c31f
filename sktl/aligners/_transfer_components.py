"""Transfer component analysis: directions of a kernel along which the domains' means agree."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._domains import Domains
from sktl.aligners._base import Aligner, warn_of_few
from sktl.aligners._components import Space, components, fitted_kernel


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

    _takes_sparse = True
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

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> int:
        is_target = domains.is_target
        n, n_target = X.shape[0], int(is_target.sum())
        warn_of_few("TransferComponentAnalysis", n - n_target, n_target, 2, "its only row stands for its mean")
        kernel, rows = fitted_kernel(X, self.kernel, self.gamma, self.max_rows, self.random_state)
        self.gamma_ = kernel.gamma / kernel.unit**2
        space = Space(rows, kernel, is_primal=False)
        # K^T L K is the outer product of the difference of the means
        apart = space.means(np.where(is_target, -1 / n_target, 1 / (n - n_target))[:, None])
        W = components(space.scatter, apart, self.regularization, self.n_components)
        W *= np.sqrt(n)  # the first column has variance 1
        self.coefficients_ = space.of_rows(W)
        self._projection = space.projection(W)
        self.n_components_ = W.shape[1]
        return self.n_components_

    def _map(self, X: Any, domains: Domains) -> np.ndarray:
        return self._projection(X)
