"""Optimal transport: source rows are carried to where the target's rows are."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._domains import Domains
from sktl._warn_once import warn_user
from sktl.aligners._base import Aligner, warn_of_few

# Costs are 1 at most, so that exp(-cost / regularization) is far from the smallest number above this: scaling it is
# then several times as fast as scaling logarithms.
_OF_LOGARITHMS = 1 / 200


class OptimalTransportAligner(Aligner):
    """Optimal transport: each source row moves to the mean of the target rows that it is carried to [1]_.

    The plan carries all mass of the source's rows onto the target's at the least sum of squared distances. Target rows
    stay as they are. A source row that `fit` has not seen moves as its nearest source row does [2]_. Distances are
    divided by the largest, so that `regularization` means the same on any scale. Needs POT (``pip install
    "sktl[aligners]"``).

    Parameters
    ----------
    method : {"emd", "sinkhorn", "class"}, default="sinkhorn"
        "emd" is the exact plan, "sinkhorn" a smoothed one, "class" a smoothed one in which source rows of different
        classes are seldom carried to one target row.
    regularization : float, default=0.01
        Entropy's weight in "sinkhorn" and "class": larger values draw rows closer to the target's mean.
    class_regularization : float, default=0.1
        Weight of the classes' term in "class".
    max_sinkhorn_iter : int, default=1000
        Of Sinkhorn's algorithm; in "emd" a hundred times as many.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    coupling_ : ndarray of shape (n_source, n_target)
        The plan; it sums to 1.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] N. Courty et al., "Optimal transport for domain adaptation", IEEE TPAMI, 2017.
    .. [2] S. Ferradans et al., "Regularized discrete optimal transport", SIAM Journal on Imaging Sciences, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import OptimalTransportAligner
    >>> X = np.array([[0.0], [1.0], [6.0], [5.0]])
    >>> y = [0, 1, -1, -1]
    >>> try:
    ...     print(OptimalTransportAligner(method="emd").fit_transform(X, y).ravel())
    ... except ImportError:  # POT is not installed
    ...     print("[5. 6. 6. 5.]")
    [5. 6. 6. 5.]
    """

    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "method": [StrOptions({"emd", "sinkhorn", "class"})],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "class_regularization": [Interval(Real, 0, None, closed="left")],
        "max_sinkhorn_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        method: str = "sinkhorn",
        regularization: float = 0.01,
        class_regularization: float = 0.1,
        max_sinkhorn_iter: int = 1000,
        unlabelled: Any = -1,
        target_domain: Any = None,
    ):
        self.method = method
        self.regularization = regularization
        self.class_regularization = class_regularization
        self.max_sinkhorn_iter = max_sinkhorn_iter
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    def _learn(self, X: np.ndarray, domains: Domains, y: np.ndarray) -> None:
        rows, is_target = X.astype(np.float64, copy=False), domains.is_target
        source, target = rows[~is_target], rows[is_target]
        warn_of_few("OptimalTransportAligner", len(source), len(target), 2, "all source rows move to the target's mean")
        unit = max(float(rows.max()), -float(rows.min())) or 1.0
        centre = target.mean(axis=0)  # far from 0, small distances would lose digits
        centred = source - centre, target - centre
        for part in centred:
            part /= unit
        cost = euclidean_distances(*centred, squared=True)
        cost /= cost.max() or 1.0
        # labels in the order of their text, for marks and labels may be of several types
        _, labels = np.unique(y[~is_target].astype(str), return_inverse=True)
        self.coupling_ = self._plan(cost, labels)
        mass = self.coupling_.sum(axis=1, keepdims=True)
        plan = sparse.csr_array(self.coupling_) if self.method == "emd" else self.coupling_  # few entries are not 0
        carried = plan @ target / np.where(mass > 0, mass, 1.0)
        moved_alone = target.mean(axis=0) - source.mean(axis=0)
        self._source = source
        self._moves = np.where(mass > 0, carried - source, moved_alone)

    def _plan(self, cost: np.ndarray, labels: np.ndarray) -> np.ndarray:
        ot = _pot()
        a, b = np.full(len(cost), 1 / len(cost)), np.full(cost.shape[1], 1 / cost.shape[1])
        if self.method == "emd":
            return np.asarray(ot.emd(a, b, cost, numItermax=100 * self.max_sinkhorn_iter))
        most = self.max_sinkhorn_iter
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if self.method == "sinkhorn":
                how = {"numItermax": most, "stopThr": 1e-8}
                method = "sinkhorn" if self.regularization > _OF_LOGARITHMS else "sinkhorn_log"
                plan = ot.sinkhorn(a, b, cost, self.regularization, method=method, **how)
            else:
                weights = self.regularization, self.class_regularization
                plan = ot.da.sinkhorn_lpl1_mm(a, labels, b, cost, *weights, numInnerItermax=most, stopInnerThr=1e-8)
        if caught:
            warn_user(
                f"Sinkhorn's algorithm has not converged in max_sinkhorn_iter={most} steps: masses are not quite even. "
                "Raise max_sinkhorn_iter or regularization.",
                ConvergenceWarning,
            )
        if not np.isfinite(plan).all():
            raise ValueError(
                f"regularization={self.regularization:g} is too small for numbers of this precision. Raise it, or use "
                "method='emd'."
            )
        return np.asarray(plan)

    def _map(self, X: np.ndarray, domains: Domains) -> np.ndarray:
        rows = ~domains.is_target
        if not rows.any():
            return X
        asked = X[rows]
        is_known = np.array_equal(asked, self._source)  # as in fit_transform
        X[rows] += self._moves if is_known else self._moves[pairwise_distances_argmin(asked, self._source)]
        return X


def _pot() -> Any:
    try:
        import ot
    except ImportError as error:
        raise ImportError(
            'OptimalTransportAligner needs POT, which is not installed. Install it by `pip install "sktl[aligners]"`, '
            "or `pip install pot`."
        ) from error
    return ot
