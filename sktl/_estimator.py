"""What all estimators share; nothing algorithmic."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _clone_parametrized
from torch import Tensor, nn

from sktl._array_api import n_rows, on_host
from sktl._columns import class_labels, row_weights, target_values
from sktl._modes import InPlainModes
from sktl._preprocessing import Preprocessing


class ModuleSharingMixin(InPlainModes, BaseEstimator):
    """An estimator whose clones share the networks given to its constructor, instead of copying them.

    Networks given as parameters are only looked at, so that a grid search over a hundred clones needs one.
    """

    def __sklearn_clone__(self) -> Any:
        """Clone all parameters but modules, which the clone refers to."""
        modules = {name: v for name, v in self.get_params(deep=False).items() if isinstance(v, nn.Module)}
        without = copy.copy(self)
        for name in modules:
            setattr(without, name, None)
        cloned = _clone_parametrized(without, safe=False)
        for name, module in modules.items():
            setattr(cloned, name, module)
        return cloned


class ClassifierScoreMixin(ClassifierMixin):
    """A classifier whose `score` reads labels and weights as `fit` does."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict` for X and the true labels y, each row of its weight."""
        y = on_host(y, "y")
        if not _is_table(y):
            y = class_labels(y, n_rows(X), self)
        return super().score(X, y, _weights(sample_weight, X))


class RegressorScoreMixin(RegressorMixin):
    """A regressor whose `score` reads values and weights as `fit` does."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of `predict` for X and the true values y, each row of its weight."""
        return super().score(X, target_values(y, n_rows(X), self), _weights(sample_weight, X))


def _is_table(y: Any) -> bool:
    """Whether y has several columns: an indicator of several labels a row."""
    if isinstance(y, (list, tuple)):
        return len(y) > 0 and isinstance(y[0], (list, tuple, np.ndarray)) and np.size(y[0]) > 1
    shape = getattr(y, "shape", ())
    return len(shape) == 2 and shape[1] > 1


def _weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    return None if sample_weight is None else row_weights(sample_weight, n_rows(X))


@dataclass(frozen=True)
class OpenNetwork:
    """A copy of a fitted classifier's network that may be trained further.

    Classifiers that offer it have three methods: ``_open()`` returns this record, ``_read(X)`` brings rows to what the
    network takes (a table of numbers, or a source of pictures), and ``_closed(module)`` returns a fitted classifier
    that predicts by the changed module, which it takes over.

    Attributes
    ----------
    module : Module
        Batches to logits, in evaluation mode, on the CPU; all parameters require gradients.
    features : callable(batch) -> Tensor (n, n_features)
        What the head is given.
    head : Module
        Features to logits; a part of `module`.
    body : tuple of Parameter
        What learns at a smaller rate if it is pretrained.
    is_pretrained : bool
        Whether the body came with published weights.
    preprocessing : Preprocessing or None
        Of pictures; None for feature rows.
    n_channels : int
        Of pictures as the network is given them.
    dtype : torch.dtype
        Precision of the layers' arithmetic.
    """

    module: nn.Module
    features: Callable[[Tensor], Tensor]
    head: nn.Module
    body: tuple[nn.Parameter, ...]
    is_pretrained: bool
    preprocessing: Preprocessing | None
    n_channels: int
    dtype: torch.dtype
