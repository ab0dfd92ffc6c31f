"""The linear classifier of feature rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.finetuning import FineTunedClassifier

MANY_COLUMNS = 64  # that may be codes
MOST_WORK = 3e8  # rows^3 times classes, up to which rows left out choose: a second or two


def linear_classifier(X: Any, n_classes: int, device: Any = "auto") -> Any:
    """Return an unfitted linear classifier of feature rows.

    Columns of a table have units of their own, so they are standardised. Many columns may be codes, whose unit is one:
    of few rows, those that are left out choose the scale and the penalty.
    """
    if chooses_scale(X, n_classes):
        return FineTunedClassifier(strategy="head", **({} if device == "auto" else {"device": device}))
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def chooses_scale(X: Any, n_classes: int) -> bool:
    """Whether rows that are left out choose the scale."""
    return has_many_columns(X) and _shape(X)[0] ** 3 * n_classes <= MOST_WORK


def has_many_columns(X: Any) -> bool:
    """Whether rows may be codes."""
    shape = _shape(X)
    return len(shape) > 1 and shape[1] >= MANY_COLUMNS


def _shape(X: Any) -> tuple[int, ...]:
    return getattr(X, "shape", None) or np.shape(X)
