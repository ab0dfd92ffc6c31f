"""What lets a fitted classifier's network be adapted further."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sktl._estimator import OpenNetwork
from sktl.adaptation.joint._fitted_network import FittedNetwork
from sktl.adaptation.joint._row_body import RowBody


class Reopenable:
    """Mixin of the domain-adapted classifier; see `OpenNetwork`."""

    _learned: FittedNetwork
    _dtype: str
    _is_pretrained: bool

    def _open(self) -> OpenNetwork:
        learned = self._learned
        network = copy.deepcopy(learned.network).requires_grad_(True).eval()
        network.split.n_source = None  # all rows to come are the target's
        if isinstance(network.backbone, RowBody):
            network.backbone.holds_statistics = False
        return OpenNetwork(
            network, network.features, network.classifier, tuple(network.backbone.parameters()), self._is_pretrained,
            learned.preprocessing, learned.n_channels, getattr(torch, self._dtype),
        )  # fmt: skip

    def _closed(self, module: nn.Module) -> Any:
        learned, closed = self._learned, copy.copy(self)
        closed._learned = FittedNetwork(module, learned.preprocessing, learned.n_channels, learned.is_own)  # type: ignore[arg-type]
        closed._learned.name = learned.name
        return closed

    def _as_if(self, fitted: Mapping[str, Any]) -> Any:
        view = copy.copy(self)
        view.__dict__.update(fitted)
        return view
