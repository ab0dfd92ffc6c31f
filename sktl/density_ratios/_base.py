"""What all estimates of a density ratio share: how rows are read, and brought to one unit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from sktl._array_api import check_array
from sktl._columns import check_same_columns
from sktl._documented import Documented
from sktl._magnitudes import LARGEST_FLOAT64, check_magnitude, check_not_vanishing


class DensityRatio(Documented, BaseEstimator, ABC):
    """Abstract: the density of the target over that of the source at each source row.

    A subclass stores its parameters and computes in `_estimate`. Nothing is learned in place: the same rows give the
    same ratios, from several threads at once too.
    """

    _parameter_constraints: ClassVar[dict] = {}

    def estimate(self, source: Any, target: Any) -> np.ndarray:
        """Return the ratio at each source row.

        Parameters
        ----------
        source, target : array or sparse matrix of shape (n_rows, n_features)
            Rows of the two domains.

        Returns
        -------
        ndarray of shape (n_source,)
            Finite ratios, none below 0.

        Raises
        ------
        ValueError
            If a domain has no row, or the domains have not the same columns.
        """
        self._validate_params()
        source, target = read(source, target)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            found = np.asarray(self._estimate(source, target), dtype=np.float64)
        if not np.isfinite(found).all():
            raise ValueError(
                f"{type(self).__name__} has no finite ratio for some rows: their numbers are too far apart. Bring the "
                "columns to one scale, or take DiscriminativeRatio."
            )
        return found

    @abstractmethod
    def _estimate(self, source: Any, target: Any) -> np.ndarray:
        """Return the ratios, (n_source,), of checked rows in float64."""


def read(source: Any, target: Any) -> tuple[Any, Any]:
    """Return both domains' rows, checked, as float64 arrays or CSR matrices."""
    check_same_columns(source, target)
    source, target = (
        check_array(rows, accept_sparse="csr", dtype=np.float64, ensure_min_samples=0, input_name=name)
        for name, rows in (("source", source), ("target", target))
    )
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source has {source.shape[1]} columns and target {target.shape[1]}: rows of one kind are compared."
        )
    for rows, name in ((source, "source"), (target, "target")):
        if rows.shape[0] == 0:
            raise ValueError(f"{name} has no row; densities are compared by at least one row of each domain.")
        check_magnitude(rows, LARGEST_FLOAT64, name)
    check_not_vanishing(source, target, name="source and target")
    return source, target


def stacked(first: Any, second: Any) -> Any:
    """Return the rows of both, as an array or a CSR matrix."""
    if sparse.issparse(first) or sparse.issparse(second):
        return sparse.vstack([first, second], format="csr")
    return np.concatenate([first, second])


def in_one_unit(source: Any, target: Any) -> tuple[Any, Any, float]:
    """Return rows whose distances are safe to compute, and the unit that they were divided by.

    Dense rows are centred first: where means are large, distances between close rows are lost in rounding.
    """
    if not sparse.issparse(source) and not sparse.issparse(target):
        mean = stacked(source, target).mean(axis=0)
        source, target = source - mean, target - mean
    unit = max(float(np.abs(rows).max()) if rows.size else 0.0 for rows in (source, target)) or 1.0
    return source / unit, target / unit, unit
