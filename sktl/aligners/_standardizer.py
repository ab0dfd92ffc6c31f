"""Each domain's columns to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from sktl._domains import SOURCE, TARGET, Domains
from sktl._magnitudes import fitted_scaler
from sktl.aligners._base import Aligner, warn_of_few


class DomainStandardizer(Aligner):
    """Columns are brought to mean 0 and variance 1 in each domain on its own.

    This takes away whatever differs by a shift or a scale of single columns, such as two sensors; it is
    the first step of most published protocols, and what AdaBN does in a network [1]_. It assumes that classes are about
    as frequent in each domain: where they are not, what tells them apart is taken away too. Constant columns become 0.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether means are subtracted; set it to False for sparse X.
    with_std : bool, default=True
        Whether columns are divided by their standard deviation.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    scalers_ : dict of str to StandardScaler
        That of each domain by name, and of all source rows ("source") and all target rows ("target").
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] Y. Li et al., "Adaptive batch normalization for practical domain adaptation", Pattern Recognition, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import DomainStandardizer
    >>> X = np.array([[1.0], [3.0], [100.0], [300.0]])
    >>> DomainStandardizer().fit_transform(X, [0, 1, -1, -1]).ravel()
    array([-1.,  1., -1.,  1.])
    """

    _takes_sparse = True
    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "with_mean": ["boolean"],
        "with_std": ["boolean"],
    }

    def __init__(
        self, *, with_mean: bool = True, with_std: bool = True, unlabelled: Any = -1, target_domain: Any = None
    ):
        self.with_mean = with_mean
        self.with_std = with_std
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> None:
        if sparse.issparse(X) and self.with_mean:
            raise ValueError(
                "Subtracting means would make sparse X dense. Set with_mean=False, or pass X.toarray() if it fits."
            )
        rows, is_target = X.astype(np.float64), domains.is_target
        n_target = int(is_target.sum())
        warn_of_few("DomainStandardizer", len(is_target) - n_target, n_target, 2, "its columns become constant")
        groups = {SOURCE: ~is_target, TARGET: is_target}
        groups |= {str(name): domains.of_row == i for i, name in enumerate(domains.names)}
        blank = StandardScaler(with_mean=self.with_mean, with_std=self.with_std)
        self.scalers_ = {name: fitted_scaler(blank, rows[group]) for name, group in groups.items()}
        self._target_scaler = fitted_scaler(blank, rows[is_target])

    def _map(self, X: Any, domains: Domains) -> Any:
        for i in np.unique(domains.of_row):
            rows = domains.of_row == i
            scaler = self._target_scaler if domains.is_pooled else self.scalers_[str(domains.names[i])]
            if not sparse.issparse(X):
                X[rows] = scaler.transform(X[rows])
            elif self.with_std:
                entries = np.repeat(rows, np.diff(X.indptr))
                X.data[entries] /= scaler.scale_[X.indices[entries]]
        return X
