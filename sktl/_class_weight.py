"""Weights of classes: a factor of each row's weight."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from sktl._columns import row_weights
from sktl._validation import shorten


def weighted_by_class(y: np.ndarray, weight: np.ndarray | None, class_weight: Any) -> np.ndarray | None:
    """Return each row's weight times its class's; "balanced" counts a row by its weight, one of weight 0 not at all.

    A class that a dict leaves out has weight 1.

    Raises
    ------
    ValueError
        If a class's weight is no number, negative or not finite, or all products are 0.
    """
    if class_weight is None:
        return weight
    weight = np.ones(len(y)) if weight is None else weight
    if isinstance(class_weight, Mapping):
        wrong = {
            name: value
            for name, value in class_weight.items()
            if not (isinstance(value, Real) and 0 <= float(value) < np.inf)
        }
        if wrong:
            raise ValueError(f"class_weight must hold finite numbers of at least 0; got {wrong}.")
        classes, numbers = np.unique(y, return_inverse=True)
        return row_weights(weight * np.array([float(class_weight.get(name, 1)) for name in classes])[numbers], len(y))
    counts = weight > 0
    if not counts.any():
        return weight
    classes, numbers = np.unique(y[counts], return_inverse=True)
    # v_c = sum_i w_i / (C sum_{i in c} w_i), over the classes that have weight
    of_class = np.bincount(numbers, weights=weight[counts])
    balanced = weight.copy()
    balanced[counts] *= (of_class.sum() / (len(classes) * of_class))[numbers]
    return balanced


def check_class_names(class_weight: Any, classes: np.ndarray) -> None:
    """Raise a ValueError if a class has no weight of its own while some weight is of no class: a slip of the pen."""
    if not isinstance(class_weight, Mapping):
        return
    without = [name for name in classes if name not in class_weight]
    odd = [name for name in class_weight if name not in set(classes)]
    if without and odd:
        raise ValueError(
            f"class_weight names {shorten(map(repr, odd))}, and y has no such class; without a weight are "
            f"{shorten(map(repr, without))}. Name the classes as y does."
        )
