"""The mean loss of an epoch, read from the device once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

FOLDED = 1024  # losses kept as tensors of their own: bounds memory, and how late a loss that is not finite is seen


class LossMeter:
    """Collects the batches' losses on the device without waiting for them.

    Keeping the batch losses, rather than their sum, takes no kernel a step and tells afterwards at which step the
    first loss that is not finite came.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._weights: list[float | Tensor] = []
        self._parts: dict[str, list[Tensor]] = {}
        self._sums: dict[str, float] = {}
        self._weight_sum = 0.0
        self.n_batches = 0
        self.first_bad: int | None = None  # index of the first batch seen so far whose loss is not finite

    def add(self, loss: Tensor, weight: float | Tensor, parts: Mapping[str, Tensor] | None = None) -> None:
        """Take in one batch: its mean loss, what that weighs, and further means to report by name."""
        self._losses.append(loss.detach())
        self._weights.append(weight)
        if parts is not None:
            for name, value in parts.items():
                self._parts.setdefault(name, []).append(value.detach())
        if len(self._losses) >= FOLDED:
            self.fold()

    def fold(self) -> None:
        """Read what has been collected; the one place that waits for the device."""
        if not self._losses:
            return
        losses = _values(self._losses)
        if any(isinstance(weight, Tensor) for weight in self._weights):
            device = self._losses[0].device
            weights = _values([torch.as_tensor(weight, device=device).detach() for weight in self._weights])
        else:
            weights = np.asarray(self._weights, dtype=np.float64)
        if self.first_bad is None and not np.isfinite(losses).all():
            self.first_bad = self.n_batches + int(np.flatnonzero(~np.isfinite(losses))[0])
        self.n_batches += len(losses)
        self._weight_sum += float(weights.sum())
        self._sums["loss"] = self._sums.get("loss", 0.0) + float(losses @ weights)
        for name, values in self._parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(_values(values) @ weights)
        self._losses, self._weights, self._parts = [], [], {}

    def means(self) -> dict[str, float]:
        """Return the weighted means over the epoch, "loss" first; empty if there was no batch."""
        self.fold()
        scale = self._weight_sum or 1.0  # all weights zero: all losses count for nothing
        return {name: total / scale for name, total in self._sums.items()}


def _values(tensors: list[Tensor]) -> np.ndarray:
    return torch.stack(tensors).cpu().double().numpy()
