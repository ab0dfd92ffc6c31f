"""In what metric prototypes of feature rows are near: by how much rows of one class differ, from sums alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from sktl.fewshot._class_sums import class_sums

OTHER_UNITS = 10.0  # times the middle column's deviation, from which on columns are taken to have units of their own
FEW_ROWS = 10  # below it, a column that hardly varies may do so by chance
PRIOR_ROWS = 3  # a column, in which all directions vary alike


@dataclass(frozen=True)
class RowMetric:
    """The metric of a support set: rows become ``(x - centre) matrix``."""

    centre: np.ndarray  # (n_columns,)
    matrix: np.ndarray  # (n_columns, n_columns)

    @classmethod
    def of(cls, rows: np.ndarray, class_numbers: np.ndarray) -> RowMetric:
        """Return that of rows (n, n_columns) of classes 0, 1, ..."""
        centre = rows.mean(0)
        sums, counts = class_sums(rows - centre, class_numbers, int(class_numbers.max()) + 1, None)
        return cls(centre, row_metric(scatter_of(rows - centre, None), sums, counts))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows of which Euclidean distances may be taken."""
        return (rows - self.centre) @ self.matrix


def scatter_of(rows: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the weighted sum of the rows' outer products, (n_columns, n_columns)."""
    return rows.T @ (rows if weight is None else rows * weight[:, None])


def row_metric(scatter: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return L, for which ``|(x - c) L|^2`` is the squared Mahalanobis distance by what varies within classes.

    The covariance within classes is drawn to a multiple of the identity, as if there were some rows more: with one row
    a class that is all there is. Columns count alike there, each by its deviation, if their units differ; else they
    keep their proportions. As sums are all that is asked for, rows may come in parts.

    Parameters
    ----------
    scatter : array (n_columns, n_columns)
        Sum of the outer products of all rows, less a centre.
    sums : array (n_classes, n_columns)
        Of each class's rows, less the same centre.
    counts : array (n_classes,)
        Rows of each class, or their weight.
    """
    n, n_columns = counts.sum(), len(scatter)
    mean = sums.sum(0) / n
    variance = np.maximum(np.diag(scatter) / n - mean**2, 0)
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
    if not _units_differ(deviation[variance > 0], n):
        deviation = np.full(n_columns, np.sqrt(variance.mean()) or 1.0)
    known = counts > 0
    # S_w = sum_i x_i x_i' - sum_k s_k s_k' / n_k,   at the columns' scale
    within = scatter - (sums[known] / counts[known, None]).T @ sums[known]
    within = within / np.outer(deviation, deviation)
    free = max(n - known.sum(), 0.0)  # degrees of freedom
    # Sigma = (S_w + a d t I) / (n - K + a d),   t = (tr S_w / d + 2) / (n - K + 2): two rows of the total variance, 1
    level = (max(np.trace(within), 0.0) / n_columns + 2) / (free + 2)
    rows = PRIOR_ROWS * n_columns
    covariance = (within + rows * level * np.eye(n_columns)) / (free + rows)
    root = cholesky(covariance, lower=True)
    return solve_triangular(root, np.eye(n_columns), lower=True).T / deviation[:, None]


def units_differ(rows: np.ndarray) -> bool:
    """Whether the columns of rows (n, n_columns) have units of their own, by how far each of them varies."""
    deviation = rows.std(0)
    return _units_differ(deviation[deviation > 0], len(rows))


def _units_differ(deviation: np.ndarray, n: float) -> bool:
    """Whether a column's deviation is far above those of most, or below them and no more by chance."""
    if not len(deviation):
        return False
    middle = np.median(deviation)
    is_small = n >= FEW_ROWS and deviation.min() * OTHER_UNITS < middle
    return bool(is_small or deviation.max() > OTHER_UNITS * middle)
