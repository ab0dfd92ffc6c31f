"""Means, variances and directions of one domain's rows, where there are more rows than columns or fewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import ArpackError, eigsh

from sktl._warn_once import warn_user

_FEW = 0.1  # eigenvectors of all there are, below which an iterative solver is quicker


@dataclass(frozen=True)
class Spectrum:
    """The covariance of rows, as directions and the deviation along each; no deviation stands for what is left out.

    Deviations do not vanish where their squares do: of rows as small as 1e-200.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    directions : ndarray of shape (n_features, n_directions)
        Orthonormal, of falling deviation.
    deviations : ndarray of shape (n_directions,)
    """

    mean: np.ndarray
    directions: np.ndarray
    deviations: np.ndarray

    @property
    def mean_deviation(self) -> float:
        """The root of the mean variance of a column."""
        largest = self.deviations.max(initial=0.0) or 1.0
        return float(largest * np.sqrt(((self.deviations / largest) ** 2).sum() / len(self.mean)))

    def first(self, n: int) -> Spectrum:
        """Return the same with the first n directions alone."""
        return Spectrum(self.mean, self.directions[:, :n], self.deviations[:n])


def spectrum(rows: Any, most: int | None = None) -> Spectrum:
    """Return the spectrum of the covariance, with n - 1 in its denominator; sparse rows are not made dense for it.

    With `most`, only so many directions are computed, and `mean_deviation` is that of these.
    """
    n, d = rows.shape
    mean = np.asarray(rows.mean(axis=0)).ravel()
    if sparse.issparse(rows):
        scale = largest = float(np.abs(rows.data).max(initial=0.0))
    else:
        largest = _largest(rows)
        rows = rows - mean
        scale = _largest(rows)
    if n < 2 or scale <= 1e-14 * largest:  # rounding, where all rows are alike
        return Spectrum(mean, np.zeros((d, 0)), np.zeros(0))
    rows = rows / scale if sparse.issparse(rows) else np.divide(rows, scale, out=rows)  # tiny squares do not vanish
    centre = mean / scale if sparse.issparse(rows) else np.zeros(d)
    values, vectors = first_eigenpairs(_gram(rows, centre), most)
    kept = values > (values[0] + n * centre @ centre) * max(n, d) * np.finfo(float).eps
    values, vectors = values[kept], vectors[:, kept]
    if n <= d and kept.any():
        vectors, _ = linalg.qr(rows.T @ vectors - np.outer(centre, vectors.sum(axis=0)), mode="economic")
    elif n <= d:
        vectors = np.zeros((d, 0))
    return Spectrum(mean, signed(vectors), scale * np.sqrt(values / (n - 1)))


def _largest(rows: np.ndarray) -> float:
    return max(float(rows.max()), -float(rows.min()))


def _gram(rows: Any, centre: np.ndarray) -> np.ndarray:
    """Return products of the columns, or of the rows where these are no more, after `centre` is taken from each row."""
    n, d = rows.shape
    gram = rows.T @ rows if n > d else rows @ rows.T
    if not sparse.issparse(rows):
        return gram
    gram = gram.toarray()
    if n > d:
        return gram - n * np.outer(centre, centre)
    along = rows @ centre
    return gram - along[:, None] - along + centre @ centre


def first_eigenpairs(symmetric: np.ndarray, k: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest eigenvalues, falling, and their vectors; with None, all."""
    m = len(symmetric)
    k = m if k is None else min(k, m)
    if m > 300 and k < _FEW * m:
        try:
            start = np.random.RandomState(0).uniform(-1, 1, m)
            values, vectors = eigsh(symmetric, k, v0=start, which="LA")
            order = np.argsort(-values)
            return values[order], vectors[:, order]
        except ArpackError:
            pass
    subset = {} if k == m else {"subset_by_index": (m - k, m - 1)}
    values, vectors = linalg.eigh((symmetric + symmetric.T) / 2, **subset)
    return values[::-1], vectors[:, ::-1]


def signed(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors with their largest entry positive, so that the same rows give the same signs."""
    if not vectors.size:
        return vectors
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def principal_pair(X: np.ndarray, is_target: np.ndarray, n_components: int | None) -> tuple[Spectrum, Spectrum]:
    """Return equally many first directions of the source and of the target; by default 20, or what both have."""
    rows = X.astype(np.float64, copy=False)
    wanted = 20 if n_components is None else n_components
    source, target = spectrum(rows[~is_target], wanted), spectrum(rows[is_target], wanted)
    most = min(len(source.deviations), len(target.deviations))
    if n_components is not None and n_components > most:
        warn_user(
            f"n_components={n_components}, but only {most} directions have variance in both domains: these are kept. "
            "Pass more rows, or fewer components."
        )
    n = min(most, wanted)
    return source.first(n), target.first(n)
