"""What all estimators share; nothing algorithmic."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator, _clone_parametrized
from torch import nn


class ModuleSharingMixin(BaseEstimator):
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
