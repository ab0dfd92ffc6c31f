"""Marginalised denoising autoencoders (mSDA), in closed form."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import linalg, sparse
from sklearn.utils._param_validation import Interval
from sklearn.utils.extmath import safe_sparse_dot

from sktl._domains import Domains
from sktl._draws import seed_of
from sktl._magnitudes import check_not_vanishing
from sktl.aligners._base import Aligner

_LARGEST = 1e140  # squares of these are summed, and multiplied by each other


class MarginalizedDenoiser(Aligner):
    """mSDA: columns learn to stand for each other, from rows of both domains [1]_.

    A layer is the linear map that best restores rows from which entries were struck at random; all ways to strike are
    averaged in closed form. Words of one domain so become evidence for words of the other. Rows of both domains are
    mapped alike. Made for text: X may be sparse, the output is dense.

    Start with ``CountVectorizer(binary=True, max_features=5000, ngram_range=(1, 2))`` and ``n_layers=3`` or 4: on
    Amazon's reviews words as 0 or 1 gain with each layer, where one layer on tf-idf gained nothing. A linear SVM
    goes well behind it.

    Parameters
    ----------
    corruption : float, default=0.5
        Probability that an entry is struck.
    n_layers : int, default=1
        Each restores the output of the one before. The output holds X and all layers, side by side.
    regularization : float, default=1e-5
        By which share of itself each entry on the diagonal of the matrix that is inverted grows.
    max_features : int, default=5000
        With more columns than this, the columns are split at random into parts of this size, each restores the most
        frequent `max_features` columns, and the first layer is their mean, as in the paper.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    random_state : int, RandomState or None, default=None
        Splits columns, where there are more than `max_features`.

    Attributes
    ----------
    weights_ : list of ndarray
        Of each layer, of shape (n_columns_in + 1, n_columns_out), the bias last.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] M. Chen et al., "Marginalized denoising autoencoders for domain adaptation", ICML, 2012.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktl.aligners import LabelledOnly, MarginalizedDenoiser
    >>> texts = ["a moving novel, great", "dull novel, bad", "sharp blade, great", "blunt blade, bad"]
    >>> model = make_pipeline(TfidfVectorizer(), MarginalizedDenoiser(), LabelledOnly(LogisticRegression()))
    >>> model.fit(texts, [1, 0, -1, -1]).predict(["sharp blade", "blunt blade"])
    array([1, 0])
    """

    _takes_sparse = True
    _largest_float64 = _LARGEST
    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "corruption": [Interval(Real, 0, 1, closed="neither")],
        "n_layers": [Interval(Integral, 1, 100, closed="both")],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "max_features": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        corruption: float = 0.5,
        n_layers: int = 1,
        regularization: float = 1e-5,
        max_features: int = 5000,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.corruption = corruption
        self.n_layers = n_layers
        self.regularization = regularization
        self.max_features = max_features
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> int:
        check_not_vanishing(X)
        layer, self.weights_ = X.astype(np.float64), []
        for i in range(self.n_layers):
            restored = np.arange(layer.shape[1])
            parts = [restored]
            if len(restored) > self.max_features:
                frequency = np.asarray((layer != 0).sum(axis=0)).ravel()
                restored = np.sort(np.argsort(-frequency, kind="stable")[: self.max_features])
                order = np.random.RandomState(seed_of(self.random_state)).permutation(layer.shape[1])
                parts = np.array_split(order, -(-len(order) // self.max_features))
            W = np.zeros((layer.shape[1] + 1, len(restored)))
            for part in parts:
                wanted = None if len(part) == layer.shape[1] == len(restored) else layer[:, restored]
                taken = layer if wanted is None else layer[:, part]
                solved = denoising(taken, wanted, self.corruption, self.regularization)
                W[part] += solved[:-1] / len(parts)
                W[-1] += solved[-1] / len(parts)
            self.weights_.append(W)
            if i + 1 < self.n_layers:
                layer = _passed(layer, W)
        return self.n_features_in_ + sum(W.shape[1] for W in self.weights_)

    def _map(self, X: Any, domains: Domains) -> np.ndarray:
        layers, layer = [X.toarray() if sparse.issparse(X) else X], X
        for W in self.weights_:
            layer = _passed(layer, W)
            layers.append(layer)
        return np.hstack(layers)


def _passed(layer: Any, W: np.ndarray) -> np.ndarray:
    return np.tanh(safe_sparse_dot(layer, W[:-1], dense_output=True) + W[-1])


def denoising(rows: Any, wanted: Any, corruption: float, regularization: float) -> np.ndarray:
    """Return W of shape (d + 1, r), which restores `wanted` from `rows`, struck with probability p; the bias is last.

    With S the scatter of [rows, 1] and q = (1 - p, ..., 1 - p, 1), the expected scatter of struck rows is
    Q_ij = S_ij q_i q_j, on the diagonal Q_ii = S_ii q_i; that with what is wanted P_ij = S_ij q_i; W = Q^-1 P.

    Parameters
    ----------
    rows : array or CSR of shape (n, d)
        Columns to restore from.
    wanted : array or CSR of shape (n, r) or None
        Columns to restore; None is all of `rows`.
    corruption, regularization : float
        As in `MarginalizedDenoiser`.
    """
    n, d = rows.shape
    q = np.append(np.full(d, 1 - corruption), 1.0)
    Q = np.empty((d + 1, d + 1))
    Q[:d, :d] = _dense(rows.T @ rows) / n
    Q[d, :d] = Q[:d, d] = np.asarray(rows.mean(axis=0)).ravel()
    Q[d, d] = 1.0
    diagonal = Q.diagonal() * q
    Q *= q[:, None]
    Q *= q
    # columns of any scale: each is solved for in units of its own
    unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    np.fill_diagonal(Q, diagonal)
    Q /= unit[:, None]
    Q /= unit
    Q[np.diag_indices(d + 1)] += regularization + (diagonal == 0)
    if wanted is None:
        # q_j P_j is the column Q_j but for E_j on its diagonal, so that W_j = (e_j - Q^-1 e_j E_j) / q_j
        E = Q.diagonal() * unit**2 - diagonal * q
        W = -_inverse(Q)[:, :d] / unit[:, None] * (E / unit)[:d]
        W[np.diag_indices(d)] += 1
        return W / (1 - corruption)
    P = np.empty((d + 1, wanted.shape[1]))
    P[:d] = _dense(rows.T @ wanted) / n * (1 - corruption)
    P[d] = np.asarray(wanted.mean(axis=0)).ravel()
    solved = linalg.solve(Q, P / unit[:, None], assume_a="pos", overwrite_a=True, overwrite_b=True, check_finite=False)
    return solved / unit[:, None]


def _inverse(Q: np.ndarray) -> np.ndarray:
    """Return the inverse of a positive definite matrix, which is written to."""
    found, failed = linalg.lapack.dpotrf(Q.T, lower=1, overwrite_a=1)
    if not failed:
        found, failed = linalg.lapack.dpotri(found, lower=1, overwrite_c=1)
    if failed:
        raise linalg.LinAlgError("The scatter of the rows is singular. Raise regularization.")
    found = np.tril(found)
    return found + np.tril(found, -1).T


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else values
