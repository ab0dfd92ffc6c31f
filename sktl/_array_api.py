"""Array API dispatch stays outside: our estimators read every array into NumPy."""

from __future__ import annotations

from typing import Any

import sklearn
from sklearn.utils import validation
from torch import Tensor


def on_host(values: Any) -> Any:
    """Return a tensor as a NumPy array, and anything else as it is."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def validate_data(estimator: Any, X: Any = "no_validation", y: Any = "no_validation", **options: Any) -> Any:
    """Call scikit-learn's function of this name; what it returns is NumPy's even under ``array_api_dispatch=True``."""
    with sklearn.config_context(array_api_dispatch=False):
        return validation.validate_data(estimator, on_host(X), on_host(y), **options)


def check_array(values: Any, **options: Any) -> Any:
    """Call scikit-learn's function of this name, for NumPy arrays alone."""
    with sklearn.config_context(array_api_dispatch=False):
        return validation.check_array(on_host(values), **options)


def column_or_1d(values: Any, **options: Any) -> Any:
    """Call scikit-learn's function of this name, for NumPy arrays alone."""
    with sklearn.config_context(array_api_dispatch=False):
        return validation.column_or_1d(on_host(values), **options)
