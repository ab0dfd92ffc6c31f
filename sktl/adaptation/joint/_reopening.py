"""What lets a fitted classifier's network be adapted further."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._deployment import DeployedNetwork, Exportable
from sktl._estimator import OpenNetwork
from sktl._inputs import InputKind, read
from sktl._magnitudes import scaled
from sktl._preprocessing import Preprocessing
from sktl.adaptation.joint._fitted_network import FittedNetwork
from sktl.adaptation.joint._network import flat
from sktl.adaptation.joint._training import ROW_OPTIONS


class Reopenable(Exportable):
    """Mixin of the domain-adapted classifier; see `OpenNetwork`."""

    _learned: FittedNetwork
    _kind: InputKind
    _scaler: Any
    _dtype: str
    _is_pretrained: bool

    def _read(self, X: Any) -> Any:
        data = read(self, X, self._kind, reset=False, **ROW_OPTIONS)
        return data if self._scaler is None else scaled(data, self._scaler)

    def _open(self) -> OpenNetwork:
        learned = self._learned
        network = copy.deepcopy(learned.network).requires_grad_(True).eval()
        network.split.n_source = None  # all rows to come are the target's
        return OpenNetwork(
            network, network.features, network.classifier, tuple(network.backbone.parameters()), self._is_pretrained,
            learned.preprocessing, learned.n_channels, getattr(torch, self._dtype),
        )  # fmt: skip

    def _deployed(self) -> tuple[DeployedNetwork, Preprocessing | int]:
        check_is_fitted(self, "n_iter_")
        learned = self._learned
        with learned.lock:
            network = copy.deepcopy(learned.network)
        preprocessing = learned.preprocessing
        body = flat(network, learned.n_channels)
        width = getattr(self, "n_features_in_", 0)
        return DeployedNetwork(body, self._scaler), width if preprocessing is None else preprocessing

    def _closed(self, module: nn.Module) -> Any:
        learned, closed = self._learned, copy.copy(self)
        closed._learned = FittedNetwork(module, learned.preprocessing, learned.n_channels, learned.is_own)  # type: ignore[arg-type]
        closed._learned.name = learned.name
        return closed

    def _as_if(self, fitted: Mapping[str, Any]) -> Any:
        view = copy.copy(self)
        view.__dict__.update(fitted)
        return view
