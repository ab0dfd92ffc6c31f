"""CORAL: the source's rows take on the covariance of the target's."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.utils._param_validation import Interval

from sktl._domains import Domains
from sktl.aligners._base import Aligner, warn_of_few
from sktl.aligners._spectrum import Spectrum, spectrum


class CORALAligner(Aligner):
    """CORAL: source rows are whitened, and take on the target's covariance [1]_.

    Target rows stay as they are, so that a model learned on the mapped source predicts them directly. Bring columns to
    one scale first (`DomainStandardizer`, or ``StandardScaler``). It departs from the paper in two ways. Means are
    matched too, which changes nothing where both domains are standardised, as the paper asks. And `regularization`
    is counted in the domain's mean variance of a column, which is 1 in standardised columns, so that rows of any scale
    give the same answer. With fewer rows than columns, it is what keeps the covariances invertible.

    X may be sparse: covariances are then found without making it dense. The output is dense, for mapped rows have no
    zeros; with tens of thousands of columns, put a ``TruncatedSVD`` before.

    Parameters
    ----------
    regularization : float, default=1.0
        What is added to the diagonal of each covariance, in units of its mean. Smaller values align more directions,
        and need more rows.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] B. Sun, J. Feng and K. Saenko, "Return of frustratingly easy domain adaptation", AAAI, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktl.aligners import CORALAligner, LabelledOnly
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> X[100:] = X[100:] * [3, 1] + 5  # the target is elsewhere
    >>> y[100:] = -1                    # and has no labels
    >>> model = make_pipeline(CORALAligner(regularization=0.01), LabelledOnly(LogisticRegression())).fit(X, y)
    >>> model.predict([[9.0, 5.0], [1.0, 5.0]])
    array([1, 0])
    """

    _takes_sparse = True
    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "regularization": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, *, regularization: float = 1.0, unlabelled: Any = -1, target_domain: Any = None):
        self.regularization = regularization
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> None:
        rows, is_target = X.astype(np.float64, copy=False), domains.is_target
        self._source, self._target = spectrum(rows[~is_target]), spectrum(rows[is_target])
        n_target = int(is_target.sum())
        warn_of_few("CORAL", X.shape[0] - n_target, n_target, 2, "only the means are matched")

    def _map(self, X: Any, domains: Domains) -> np.ndarray:
        X = X.toarray() if sparse.issparse(X) else X
        # A = (C_s + r I)^(-1/2) (C_t + r I)^(1/2),  x -> (x - m_s) A + m_t
        rows = ~domains.is_target
        centred = X[rows] - self._source.mean
        if len(self._source.deviations) and len(self._target.deviations):
            n, d = centred.shape
            A = np.eye(d) if n > d else centred  # the matrix itself, where it is the smaller
            A = _power(_power(A, self._source, self.regularization, -1), self._target, self.regularization, 1)
            centred = centred @ A if n > d else A
        centred += self._target.mean
        X[rows] = centred
        return X


def _power(rows: np.ndarray, of: Spectrum, regularization: float, exponent: int) -> np.ndarray:
    """Return rows @ (C + r I)^(exponent / 2), where C is known by few directions: r^(exponent / 2) holds elsewhere."""
    added = np.sqrt(regularization) * of.mean_deviation
    elsewhere = added**exponent
    factors = np.hypot(of.deviations, added) ** exponent - elsewhere
    return rows * elsewhere + ((rows @ of.directions) * factors) @ of.directions.T
