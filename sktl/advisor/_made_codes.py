"""What a transformer makes of rows, as a table of codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.decomposition import TruncatedSVD

SPARSE_COMPONENTS = 256
MOST_DECOMPOSED = 2000  # rows whose inner products are decomposed at once
KEPT_WHOLE = 2 * SPARSE_COMPONENTS  # sparse rows up to which nothing is left out of their codes


def n_components_of(codes: Any) -> int | None:
    """Return to how many principal components sparse codes can be brought; None for dense ones."""
    return min(SPARSE_COMPONENTS, *codes.shape) if sparse.issparse(codes) else None


def checked_codes(codes: Any, n: int, seed: int) -> np.ndarray:
    """Return the codes of `n` rows, dense.

    Raises
    ------
    ValueError
        If they are of other rows, of no column, or not finite.
    """
    codes = dense(codes, seed)
    if len(codes) != n or not codes.shape[1]:
        raise ValueError(f"it makes a table of shape {codes.shape} of {n} rows")
    if not np.isfinite(codes).all():
        raise ValueError("it gives NaN or infinite codes")
    return codes


def dense(codes: Any, seed: int) -> np.ndarray:
    """Return codes as a table of numbers; many sparse ones as their principal components."""
    if not sparse.issparse(codes):
        return np.asarray(codes, dtype=np.float64).reshape(len(codes), -1)
    n = codes.shape[0]
    if min(codes.shape) > KEPT_WHOLE and n > MOST_DECOMPOSED:
        return TruncatedSVD(SPARSE_COMPONENTS, random_state=seed).fit_transform(codes)
    if min(codes.shape) > KEPT_WHOLE:  # the same components, exact, and several times as fast
        values, vectors = linalg.eigh((codes @ codes.T).toarray(), subset_by_index=(n - SPARSE_COMPONENTS, n - 1))
        return vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    if codes.shape[1] <= codes.shape[0]:
        return codes.toarray()
    # All inner products stay. Of few rows, components that leave some out know the row that is to be foretold: it
    # follows from the others and the direction that is left out, and leave-one-out looks better than it is.
    values, vectors = np.linalg.eigh((codes @ codes.T).toarray())
    is_noise = values <= len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors * np.sqrt(np.where(is_noise, 0.0, values))
