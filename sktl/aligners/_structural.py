"""Structural correspondence learning (SCL): columns that predict the same pivots stand for each other."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import linalg, sparse
from sklearn.utils._param_validation import Interval

from sktl._columns import check_classes
from sktl._domains import Domains
from sktl._unlabelled import is_labelled, known_labels
from sktl._warn_once import warn_user
from sktl.aligners._base import Aligner
from sktl.aligners._spectrum import signed


class StructuralCorrespondence(Aligner):
    """Structural correspondence learning (SCL): columns of both domains that go with the same pivots get common ones.

    Pivots are columns that are frequent in both domains and tell much about the source's labels, by mutual information
    [2]_: "excellent", "dull". For each, a linear model learns from all rows of both domains whether the row holds the
    pivot, from the columns that are no pivots. The first directions of all these models are new columns, which are put
    beside those of X [1]_. Rows of both domains are mapped alike. Made for text: X may be sparse (tf-idf, counts), and
    the output then is sparse too, the new columns being full.

    It departs from the papers in the loss: ridge regression instead of the modified Huber loss, for it is solved in one
    step for all pivots.

    Parameters
    ----------
    n_components : int, default=50
        New columns; fewer where there are fewer pivots.
    n_pivots : int, default=500
        Pivots; fewer where fewer columns are frequent in both domains.
    min_count : int, default=5
        In how many rows of each domain a column must not be 0 to be a pivot.
    regularization : float, default=10.0
        Of the pivots' models, in units of a row's mean squared length.
    scale : float, default=1.0
        Length of the new columns' part of a row against the length of the row in X, on average.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.

    Attributes
    ----------
    pivots_ : ndarray of shape (n_pivots,)
        Numbers of the columns, the one that tells most first.
    components_ : ndarray of shape (n_components, n_features)
        Directions of the pivots' models, orthonormal; 0 in the pivots' columns.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] J. Blitzer, R. McDonald and F. Pereira, "Domain adaptation with structural correspondence learning", EMNLP,
       2006.
    .. [2] J. Blitzer, M. Dredze and F. Pereira, "Biographies, Bollywood, boom-boxes and blenders: domain adaptation for
       sentiment classification", ACL, 2007.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktl.aligners import LabelledOnly, StructuralCorrespondence
    >>> texts = ["a moving novel, great", "dull novel, bad", "sharp blade, great", "blunt blade, bad"]
    >>> scl = StructuralCorrespondence(n_pivots=2, min_count=1)
    >>> model = make_pipeline(TfidfVectorizer(), scl, LabelledOnly(LogisticRegression()))
    >>> model.fit(texts, [1, 0, -1, -1]).predict(["sharp blade", "blunt blade"])
    array([1, 0])
    """

    _takes_sparse = True
    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_pivots": [Interval(Integral, 1, None, closed="left")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "scale": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_components: int = 50,
        *,
        n_pivots: int = 500,
        min_count: int = 5,
        regularization: float = 10.0,
        scale: float = 1.0,
        unlabelled: Any = -1,
        target_domain: Any = None,
    ):
        self.n_components = n_components
        self.n_pivots = n_pivots
        self.min_count = min_count
        self.regularization = regularization
        self.scale = scale
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> int | None:
        values = X.data if sparse.issparse(X) else X
        self._unit = float(np.abs(values).max(initial=0.0)) or 1.0
        rows = X.astype(np.float64) / self._unit
        held = sparse.csr_matrix(rows != 0, dtype=np.float64)
        self.pivots_ = self._found_pivots(held, domains.is_target, y)
        if not len(self.pivots_):
            warn_user(
                f"No column is other than 0 in min_count={self.min_count} rows of each domain, and 0 in some row: "
                "there are no pivots, and X is left as it is. Lower min_count, or pass more rows."
            )
            self.components_, self._factor = np.zeros((0, rows.shape[1])), 0.0
            return None
        masked = _without(rows, self.pivots_)
        wanted = 2 * held[:, self.pivots_].toarray() - 1
        W = pivot_models(masked, wanted, self.regularization)
        U, lengths, _ = linalg.svd(W, full_matrices=False)
        kept = (lengths > lengths[0] * max(W.shape) * np.finfo(float).eps)[: self.n_components].sum()
        self.components_ = signed(U[:, :kept]).T
        new = _length(rows @ self.components_.T)
        self._factor = self.scale * _length(rows) / new if new > 0 else 0.0
        return rows.shape[1] + int(kept) if kept else None

    def _found_pivots(self, held: Any, is_target: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the columns that are frequent in both domains, those that tell most about the labels first."""
        counts = [np.asarray(held[group].sum(axis=0)).ravel() for group in (~is_target, is_target)]
        frequent = np.flatnonzero((np.minimum(*counts) >= self.min_count) & (sum(counts) < held.shape[0]))
        learned = is_labelled(y, self.unlabelled) & ~is_target
        labels = known_labels(y, learned)
        if len(labels):
            check_classes(labels)
            told = mutual_information(held[learned][:, frequent], labels)
        else:
            told = np.minimum(*counts)[frequent]  # without labels, the most frequent ones
        return frequent[np.argsort(-told, kind="stable")[: self.n_pivots]]

    def _map(self, X: Any, domains: Domains) -> Any:
        if not len(self.components_):
            return X
        new = np.asarray((X / self._unit) @ self.components_.T) * (self._factor * self._unit)
        return sparse.hstack([X, sparse.csr_matrix(new)], format="csr") if sparse.issparse(X) else np.hstack([X, new])


def mutual_information(held: Any, labels: np.ndarray) -> np.ndarray:
    """Return the mutual information, in nats, of each column's being there with the labels, of shape (n_columns,).

    Parameters
    ----------
    held : CSR of shape (n, n_columns)
        1 where a row holds the column.
    labels : ndarray of shape (n,)
    """
    classes, codes = np.unique(labels, return_inverse=True)
    of_class = np.bincount(codes)
    with_column = np.stack([np.asarray(held[codes == c].sum(axis=0)).ravel() for c in range(len(classes))])
    tables = np.stack([with_column, of_class[:, None] - with_column])  # (2, n_classes, n_columns)
    joint = tables / len(labels)
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    share = np.divide(joint, alone, out=np.ones_like(joint), where=joint > 0)
    return (joint * np.log(share)).sum(axis=(0, 1))


def pivot_models(rows: Any, wanted: np.ndarray, regularization: float) -> np.ndarray:
    """Return W of shape (d, n_pivots), which minimises ||X W + b - Y||^2 + mu ||W||^2; mu is in units of mean ||x||^2.

    Parameters
    ----------
    rows : array or CSR of shape (n, d)
    wanted : ndarray of shape (n, n_pivots)
        1 where a row holds the pivot, else -1.
    regularization : float
        Mu.
    """
    n, d = rows.shape
    mean = np.asarray(rows.mean(axis=0)).ravel()
    added = regularization * (_length(rows) ** 2 or 1.0)
    centred = wanted - wanted.mean(axis=0)
    if d <= n:
        gram = _dense(rows.T @ rows) - n * np.outer(mean, mean)
        gram[np.diag_indices(d)] += added
        return linalg.solve(gram, np.asarray(rows.T @ centred), assume_a="pos", overwrite_a=True, check_finite=False)
    # X^T (X X^T + mu)^-1 Y, of centred rows
    along = np.asarray(rows @ mean)
    gram = _dense(rows @ rows.T) - along[:, None] - along + mean @ mean
    gram[np.diag_indices(n)] += added
    dual = linalg.solve(gram, centred, assume_a="pos", overwrite_a=True, check_finite=False)
    return np.asarray(rows.T @ dual) - np.outer(mean, dual.sum(axis=0))


def _without(rows: Any, columns: np.ndarray) -> Any:
    kept = np.ones(rows.shape[1])
    kept[columns] = 0
    return sparse.csr_matrix(rows.multiply(kept)) if sparse.issparse(rows) else rows * kept


def _length(rows: Any) -> float:
    """Return the root mean squared length of a row."""
    squares = rows.multiply(rows).sum() if sparse.issparse(rows) else np.einsum("ij,ij->", rows, rows)
    return float(np.sqrt(squares / rows.shape[0]))


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else values
