"""Subspace alignment: the source's principal directions are turned onto the target's."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from sktl._domains import Domains
from sktl.aligners._base import Aligner, warn_of_few
from sktl.aligners._spectrum import principal_pair


class SubspaceAligner(Aligner):
    """Subspace alignment: each domain's principal directions, the source's turned onto the target's [1]_.

    Rows of both domains become coordinates along the target's first `n_components` directions. Each domain's mean is
    taken away first. Bring columns to one scale before (`DomainStandardizer`).

    Parameters
    ----------
    n_components : int or None, default=None
        Directions that are kept; None is 20, or as many as both domains have if these are fewer.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    n_components_ : int
        Directions that are kept.
    alignment_ : ndarray of shape (n_components, n_components)
        The matrix M that turns the source's directions.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] B. Fernando et al., "Unsupervised visual domain adaptation using subspace alignment", ICCV, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import SubspaceAligner
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> y = np.repeat([0, 1, -1], [25, 25, 50])
    >>> SubspaceAligner(n_components=2).fit_transform(X, y).shape
    (100, 2)
    """

    _writes = False
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
        warn_of_few("SubspaceAligner", len(X) - n_target, n_target, 2, "only the means are matched")
        self._source, self._target = principal_pair(X, is_target, self.n_components)
        self.n_components_ = self._source.directions.shape[1]
        self.alignment_ = self._source.directions.T @ self._target.directions  # M = P_s^T P_t
        return self.n_components_ or None

    def _map(self, X: np.ndarray, domains: Domains) -> np.ndarray:
        is_target = domains.is_target
        if not self.n_components_:
            return X - np.where(is_target[:, None], self._target.mean, self._source.mean)
        out = np.empty((len(X), self.n_components_))
        out[is_target] = (X[is_target] - self._target.mean) @ self._target.directions
        out[~is_target] = (X[~is_target] - self._source.mean) @ (self._source.directions @ self.alignment_)
        return out
