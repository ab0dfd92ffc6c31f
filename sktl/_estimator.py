"""What all estimators share; nothing algorithmic."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.base import BaseEstimator, _clone_parametrized
from torch import Tensor, nn

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
