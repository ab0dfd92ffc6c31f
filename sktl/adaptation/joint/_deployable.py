"""What a fitted estimator reads, and what it leaves behind: a module, ONNX."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.utils.validation import check_is_fitted

from sktl._deployment import DeployedNetwork, Exportable
from sktl._inputs import InputKind, read
from sktl._magnitudes import scaled
from sktl._preprocessing import Preprocessing
from sktl.adaptation.joint._fitted_network import FittedNetwork
from sktl.adaptation.joint._network import flat
from sktl.adaptation.joint._training import ROW_OPTIONS


class Deployable(Exportable):
    """Mixin of the domain-adapted estimators."""

    _learned: FittedNetwork
    _kind: InputKind
    _scaler: Any

    def _read(self, X: Any) -> Any:
        data = read(self, X, self._kind, reset=False, **ROW_OPTIONS)
        return data if self._scaler is None else scaled(data, self._scaler)

    def _deployed(self) -> tuple[DeployedNetwork, Preprocessing | int]:
        check_is_fitted(self, "n_iter_")
        learned = self._learned
        with learned.lock:
            network = copy.deepcopy(learned.network)
        target, is_single = getattr(self, "_target_scaler", None), getattr(self, "_is_single", False)
        module = DeployedNetwork(flat(network, learned.n_channels), self._scaler, target, is_single=is_single)
        width = getattr(self, "n_features_in_", 0)
        return module, width if learned.preprocessing is None else learned.preprocessing
