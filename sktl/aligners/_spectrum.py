"""Means, variances and directions of one domain's rows, where there are more rows than columns or fewer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import linalg


@dataclass(frozen=True)
class Spectrum:
    """The covariance of rows, as directions and the variance along each; no variance stands for what is left out.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    directions : ndarray of shape (n_features, n_directions)
        Orthonormal, of falling variance.
    variances : ndarray of shape (n_directions,)
    """

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray

    @property
    def mean_variance(self) -> float:
        """The mean variance of a column."""
        return float(self.variances.sum() / len(self.mean))

    def first(self, n: int) -> Spectrum:
        """Return the same with the first n directions alone."""
        return Spectrum(self.mean, self.directions[:, :n], self.variances[:n])


def spectrum(rows: np.ndarray) -> Spectrum:
    """Return the spectrum of the covariance, with n - 1 in its denominator."""
    n, d = rows.shape
    mean = rows.mean(axis=0)
    centred = rows - mean
    scale = np.abs(centred).max()
    if n < 2 or scale <= 1e-14 * np.abs(rows).max():  # rounding, where all rows are alike
        return Spectrum(mean, np.zeros((d, 0)), np.zeros(0))
    centred /= scale  # so that squares of tiny numbers do not vanish
    if n > d:
        values, vectors = linalg.eigh(centred.T @ centred)
    else:
        values, vectors = linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > values[0] * max(n, d) * np.finfo(float).eps
    values, vectors = values[kept], vectors[:, kept]
    if n <= d:
        vectors, _ = linalg.qr(centred.T @ vectors, mode="economic")
    return Spectrum(mean, _signed(vectors), values * (scale**2 / (n - 1)))


def _signed(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors with their largest entry positive, so that the same rows give the same signs."""
    if not vectors.size:
        return vectors
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def principal_pair(X: np.ndarray, is_target: np.ndarray, n_components: int | None) -> tuple[Spectrum, Spectrum]:
    """Return equally many first directions of the source and of the target; by default 20, or what both have."""
    rows = X.astype(np.float64)
    source, target = spectrum(rows[~is_target]), spectrum(rows[is_target])
    most = min(len(source.variances), len(target.variances))
    if n_components is not None and n_components > most:
        warnings.warn(
            f"n_components={n_components}, but only {most} directions have variance in both domains: these are kept. "
            "Pass more rows, or fewer components.",
            UserWarning,
            stacklevel=6,
        )
    n = min(most, 20 if n_components is None else n_components)
    return source.first(n), target.first(n)
