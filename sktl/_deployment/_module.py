"""All that an estimator does with pictures that were scaled and cropped, or with rows, as one plain module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class DeployedNetwork(nn.Module):
    """Pictures (n, 3, height, width) with values in 0..255, or feature rows, to logits or estimates.

    Normalisation or the rows' standardisation, the network, and the targets' unit are in it. It shares nothing with the
    estimator, is in evaluation mode, and may be trained, scripted, or brought to another precision.

    Parameters
    ----------
    network : Module
        Pictures with values in 0..255, or standardised rows, to outputs; taken over.
    rows, target : StandardScaler or None
        Of feature rows, and of a regression's targets.
    is_single : bool, default=False
        Whether outputs of one column are returned as (n,).
    """

    def __init__(self, network: nn.Module, rows: Any = None, target: Any = None, *, is_single: bool = False):
        super().__init__()
        self.standardised = nn.Identity() if rows is None else _Standardised(rows)
        self.network = network.requires_grad_(False)
        self.in_unit = nn.Identity() if target is None else _InUnit(target)
        self.is_single = is_single
        self.register_buffer("unit", torch.ones(()), persistent=False)  # of the module's precision
        self.eval()

    def forward(self, X: Tensor) -> Tensor:
        """Return logits (n, n_classes), or estimates (n,) or (n, n_outputs)."""
        outputs = self.in_unit(self.network(self.standardised(X.to(self.unit.dtype))))  # type: ignore[arg-type]
        return outputs[:, 0] if self.is_single else outputs


class _Scaling(nn.Module):
    def __init__(self, scaler: Any):
        super().__init__()
        for name in ("mean", "scale"):
            self.register_buffer(name, torch.as_tensor(getattr(scaler, f"{name}_"), dtype=torch.float32))


class _Standardised(_Scaling):
    def forward(self, X: Tensor) -> Tensor:
        return (X - self.mean) / self.scale  # type: ignore[operator]


class _InUnit(_Scaling):
    def forward(self, outputs: Tensor) -> Tensor:
        return outputs * self.scale + self.mean  # type: ignore[operator]
