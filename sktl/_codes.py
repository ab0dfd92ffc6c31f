"""What an estimator makes of rows: the space in which domains are compared, and neighbours looked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline

from sktl._array_api import on_host
from sktl._kept_outputs import before_last


def codes(estimator: Any, X: Any, scorer: str) -> Any:
    """Return what the estimator makes of X, shape (n, n_codes): the space in which its domains are compared.

    That is its ``features`` or, if it has none, its ``transform``; in a pipeline those of the last step, behind the
    others' transforms. Estimators with neither see numeric rows of X as they are.

    Raises
    ------
    TypeError
        If there are no codes, and X is not a table of numbers.
    """
    best = getattr(estimator, "best_estimator_", None)  # of a search
    if best is not None:
        return codes(best, X, scorer)
    if isinstance(estimator, Pipeline):
        return codes(estimator[-1], before_last(estimator)(X), scorer)
    for name in ("features", "transform"):
        method = getattr(estimator, name, None)
        if callable(method):
            return _as_rows(method(X))
    if sparse.issparse(X):
        return X
    rows = np.asarray(X)
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise TypeError(
            f"{scorer} compares domains by an estimator's codes, but {type(estimator).__name__} has neither features() "
            "nor transform(), and X is not a table of numbers. Put CNNCodesTransformer before it in a pipeline, or use "
            "a scorer of predictions such as InformationMaximizationScorer."
        )
    return rows


def _as_rows(codes: Any) -> Any:
    codes = on_host(codes)
    return codes if sparse.issparse(codes) else np.asarray(codes).reshape(len(codes), -1)
