"""Components of a kernel: much variance along each, and little distance between means of groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.metrics.pairwise import pairwise_kernels

from sktl._draws import seed_of
from sktl.aligners._spectrum import first_eigenpairs, signed


@dataclass(frozen=True)
class RowsKernel:
    """Likeness of rows to some rows of `fit`, divided by the mean likeness of a row of `fit` to itself.

    Attributes
    ----------
    rows : array or CSR of shape (m, n_features)
        In units of `unit`.
    unit : float
        The largest absolute number in `fit`.
    kernel : {"linear", "rbf"}
    gamma : float
        Of "rbf", for rows in units of `unit`.
    diagonal : float
        That mean likeness.
    """

    rows: Any
    unit: float
    kernel: str
    gamma: float
    diagonal: float

    def __call__(self, X: Any) -> np.ndarray:
        """Return the likeness of rows, in units of their own, to the kept rows, of shape (n, m)."""
        return self.of_scaled(X / self.unit)

    def of_scaled(self, rows: Any) -> np.ndarray:
        """Return the same for rows in units of `unit`."""
        options = {"gamma": self.gamma} if self.kernel == "rbf" else {}
        found = pairwise_kernels(rows, self.rows, metric=self.kernel, **options)
        found = _dense(found)
        found /= self.diagonal
        return found


def fitted_kernel(
    X: Any, kernel: str, gamma: Any, max_rows: int, random_state: Any, among: np.ndarray | None = None
) -> tuple[RowsKernel, Any]:
    """Return the kernel, and X in its unit.

    Parameters
    ----------
    X : array or CSR of shape (n, n_features)
        All rows of `fit`.
    kernel, gamma
        As in `TransferComponentAnalysis`.
    max_rows, random_state
        How many rows are kept at most, and what draws them.
    among : ndarray of bool, shape (n,), default=None
        The rows that may be kept; by default all.
    """
    values = X.data if sparse.issparse(X) else X
    unit = np.float64(np.abs(values).max(initial=0.0)) or np.float64(1.0)  # divides by 0 without an error
    rows = X.astype(np.float64) / unit
    squares = rows.multiply(rows).sum() if sparse.issparse(rows) else np.einsum("ij,ij->", rows, rows)
    size = rows.shape[0] * rows.shape[1]
    variance = max(squares / size - (rows.sum() / size) ** 2, 0.0) if sparse.issparse(rows) else float(rows.var())
    scaled = 1 / (rows.shape[1] * (variance or 1.0)) if gamma == "scale" else gamma * unit**2
    diagonal = (float(squares) / rows.shape[0] or 1.0) if kernel == "linear" else 1.0
    kept = drawn_rows(np.ones(rows.shape[0], dtype=bool) if among is None else among, max_rows, random_state)
    return RowsKernel(rows[kept] if len(kept) < rows.shape[0] else rows, unit, kernel, scaled, diagonal), rows


def drawn_rows(among: np.ndarray, most: int, random_state: Any) -> np.ndarray:
    """Return the numbers of all rows in a mask, or of so many of them drawn at random."""
    rows = np.flatnonzero(among)
    if len(rows) <= most:
        return rows
    return np.sort(np.random.RandomState(seed_of(random_state)).choice(rows, most, replace=False))


@dataclass(frozen=True)
class Projection:
    """Rows of any domain to components: ``kernel(X) @ weights`` for "rbf", ``X @ weights`` for "linear", less `offset`.

    Attributes
    ----------
    kernel : RowsKernel
    weights : ndarray of shape (m or n_features, n_components)
    offset : ndarray of shape (n_components,)
    """

    kernel: RowsKernel
    weights: np.ndarray
    offset: np.ndarray

    def __call__(self, X: Any) -> np.ndarray:
        """Return the components of rows in units of their own, of shape (n, n_components)."""
        found = X / self.kernel.unit if self.kernel.kernel == "linear" else self.kernel(X)
        return np.asarray(found @ self.weights) - self.offset


class Space:
    """Coordinates of all rows in which components are sought.

    For "rbf" they are likenesses to the kept rows L. For "linear" they are X T for a matrix T of shape (n_features, m):
    sums over kept rows have T T^T = L^T L, sums of columns T T^T = I.

    Parameters
    ----------
    rows : array or CSR of shape (n, n_features)
        In the kernel's unit.
    kernel : RowsKernel
    is_primal : bool
        Whether "linear" penalises the components' weights of columns, rather than those of kept rows.
    """

    def __init__(self, rows: Any, kernel: RowsKernel, *, is_primal: bool):
        self.kernel, self._coordinates, self._turn = kernel, rows, None
        self._undo: Callable[[np.ndarray], np.ndarray] | None = None
        if kernel.kernel == "linear":
            self._turn, self._undo = _turned(kernel, is_primal)
            self.scatter = _scatter(rows, self._turn)
        else:
            self._coordinates = kernel.of_scaled(rows)
            spread = self._coordinates - self._coordinates.mean(axis=0)
            self.scatter = spread.T @ spread

    def means(self, weights: np.ndarray) -> np.ndarray:
        """Return sums over rows with weights of shape (n, r), as (m, r)."""
        found = np.asarray(self._coordinates.T @ weights)
        return found if self._turn is None else self._turn.T @ found

    def of_rows(self, W: np.ndarray) -> np.ndarray:
        """Return components as sums over the kept rows, of shape (n_rows_kept, n_components)."""
        return W if self._undo is None else np.asarray(self.kernel.rows @ self._undo(W))

    def projection(self, W: np.ndarray) -> Projection:
        """Return the map of rows to components W of shape (m, n_components), whose mean over all rows is 0."""
        if self._turn is not None:
            W = self._turn @ W
        mean = np.asarray(self._coordinates.mean(axis=0)).ravel()
        return Projection(self.kernel, W, mean @ W)

    def mapped(self, projection: Projection) -> np.ndarray:
        """Return the components of all rows."""
        return np.asarray(self._coordinates @ projection.weights) - projection.offset


def _turned(kernel: RowsKernel, is_primal: bool) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
    """Return T (n_features, m), and what brings components to weights of columns where these are sums over rows."""
    L, mean = kernel.rows, kernel.diagonal
    m, d = L.shape
    if is_primal:
        if d <= m:
            return np.eye(d) / np.sqrt(mean), None
        root, undo = _root(_dense(L @ L.T))  # C C^T = L L^T: the columns of L^T C^-T are orthonormal
        return np.asarray(L.T @ undo(np.eye(root.shape[1]))) / np.sqrt(mean), None
    if d > m:
        return _dense(L.T) / mean, None
    root, undo = _root(_dense(L.T @ L))  # C C^T = L^T L: sums over rows are as long as W in A = L C^-T W
    return root / mean, undo


def _root(gram: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return C, where C C^T is the symmetric matrix, and what multiplies by C^-T."""
    try:
        C = linalg.cholesky(gram, lower=True)
        if C.diagonal().min() > 1e-6 * C.diagonal().max():
            return C, lambda W: linalg.solve_triangular(C, W, lower=True, trans="T")
    except linalg.LinAlgError:
        pass
    squares, vectors = linalg.eigh(gram)
    kept = squares > squares[-1] * len(gram) * np.finfo(float).eps
    if not kept.any():
        return np.zeros((len(gram), 1)), lambda W: np.zeros((len(gram), W.shape[1]))
    roots, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    return vectors * roots, lambda W: (vectors / roots) @ W


def _scatter(rows: Any, turn: np.ndarray) -> np.ndarray:
    """Return T^T X^T H X T."""
    n, d = rows.shape
    mean = np.asarray(rows.mean(axis=0)).ravel()
    if d <= 2 * turn.shape[1]:
        if sparse.issparse(rows):
            scatter = _dense(rows.T @ rows) - n * np.outer(mean, mean)
        else:
            centred = rows - mean
            scatter = centred.T @ centred
        return turn.T @ scatter @ turn
    centred = np.asarray(rows @ turn) - mean @ turn
    return centred.T @ centred


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else values


def components(scatter: np.ndarray, apart: np.ndarray, regularization: float, most: int) -> np.ndarray:
    """Return W, which maximises tr(W^T S W) for W^T (mu I + B B^T) W = I, divided by the root of the first eigenvalue.

    With R = (mu I + B B^T)^(-1/2), W = R U for the first eigenvectors U of R S R. As B has few columns, R is a multiple
    of I but for these. Directions without variance are left out; one column of zeros is returned where there is no
    other.

    Parameters
    ----------
    scatter : ndarray of shape (m, m)
        S, that of all rows.
    apart : ndarray of shape (m, r)
        B, the differences of means.
    regularization : float
        Mu.
    most : int
        Components at most.
    """
    m = len(scatter)
    Q, lengths, _ = linalg.svd(apart, full_matrices=False)
    shrink = Q * (1 - np.sqrt(regularization / (regularization + lengths**2)))  # R = (I - shrink Q^T) / sqrt(mu)
    half = scatter - (scatter @ Q) @ shrink.T
    values, U = first_eigenpairs(half - shrink @ (Q.T @ half), most)
    kept = values > max(values[0], 0.0) * m * np.finfo(float).eps
    if not kept.any():
        return np.zeros((m, 1))
    U = U[:, kept]
    W = (U - shrink @ (Q.T @ U)) / np.sqrt(values[0])
    return signed(W)
