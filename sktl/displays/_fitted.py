"""Which part of a fitted estimator has learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.pipeline import Pipeline

INSIDE = ("best_estimator_", "estimator_", "learner_", "encoder_", "estimator")  # the last for what is frozen


def parts_of(estimator: Any) -> Iterator[Any]:
    """Yield an estimator, and the fitted ones in it from outside to inside: a search's best, a pipeline's last step."""
    yield estimator
    inner: Any = None
    if isinstance(estimator, Pipeline):
        inner = estimator[-1]
    else:
        for name in INSIDE:
            inner = getattr(estimator, name, None)
            if hasattr(inner, "get_params"):
                break
    if hasattr(inner, "get_params"):
        yield from parts_of(inner)
