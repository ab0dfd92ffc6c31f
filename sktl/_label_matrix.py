"""Several labels a row: y as a matrix of zeros and ones, a column for each label."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from sktl._array_api import check_no_tuples, on_host


def is_label_matrix(y: Any) -> bool:
    """Whether y is what scikit-learn calls "multilabel-indicator": (n, n_labels) zeros and ones, dense or sparse."""
    y = on_host(y)
    check_no_tuples(y)
    if not sparse.issparse(y):
        try:
            y = np.asarray(y)
        except ValueError:  # rows of differing lengths
            return False
        if y.ndim != 2:
            return False
    return type_of_target(y, input_name="y") == "multilabel-indicator"


def label_matrix(y: Any) -> np.ndarray:
    """Return the matrix, int64 of shape (n, n_labels)."""
    y = on_host(y)
    return np.asarray(y.toarray() if sparse.issparse(y) else y).astype(np.int64)
