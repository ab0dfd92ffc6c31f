"""What a fitted classifier answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._device import resolve_device
from sktl._magnitudes import check_finite
from sktl.adaptation.joint._reopening import Reopenable


class Predicting(Reopenable):
    """Mixin of the domain-adapted classifier."""

    device: Any
    n_jobs: Any

    def features(self, X: Any) -> np.ndarray:
        """Return what the classifier is given, the adapted features, float64 of shape (n, n_features)."""
        return self._outputs(X, features=True)

    def _outputs(self, X: Any, *, features: bool = False) -> np.ndarray:
        return self._of_one_pass(X, "features" if features else "logits")[0]

    def _of_one_pass(self, X: Any, *what: str) -> tuple[np.ndarray, ...]:
        check_is_fitted(self, "n_iter_")
        device, dtype = resolve_device(self.device), getattr(torch, self._dtype)
        return tuple(
            check_finite(o, self) for o in self._learned.outputs(self._read(X), device, dtype, self.n_jobs, what)
        )

    @property
    def module_(self) -> nn.Module:
        """The network in evaluation mode: pictures with values in 0..255, or rows, to logits."""
        check_is_fitted(self, "n_iter_")
        return self._learned.on(resolve_device(self.device))
