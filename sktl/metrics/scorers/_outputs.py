"""What scorers ask of an estimator: probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl._array_api import check_array


def probabilities(estimator: Any, X: Any, scorer: str) -> np.ndarray:
    """Return the class probabilities, float64 of shape (n, n_classes).

    Raises
    ------
    TypeError
        If the estimator gives none.
    ValueError
        If they are not finite.
    """
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"{scorer} needs class probabilities, but {type(estimator).__name__} has no predict_proba. Wrap it in "
            "CalibratedClassifierCV, or use a scorer of predicted labels such as ReverseValidationScorer."
        )
    proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    if not np.isfinite(proba).all():
        raise ValueError(f"{scorer} was given probabilities of {type(estimator).__name__} that are NaN or infinite.")
    return proba


def as_probabilities(proba: Any) -> np.ndarray:
    """Return probabilities of any container, float64 of shape (n, n_classes)."""
    return check_array(proba, dtype=np.float64, input_name="proba")
