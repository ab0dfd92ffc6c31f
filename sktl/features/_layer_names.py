"""Names of the columns of codes: layer, pooling, number."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import _check_feature_names_in

from sktl.backbones import PENULTIMATE, Trace, resolve_layers
from sktl.features._missing import INDICATOR


class LayerNamesMixin:
    """An estimator whose columns are those of layers."""

    pooling: str
    layers_: tuple[str, ...]
    layer_slices_: dict[str, slice]
    _layer_labels: dict[str, str]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the form ``<layer>_<pooling>_<number>``, or ``penultimate_<number>``.

        Layers are named as `layers` names them, "penultimate" too; those of "all" and of depths by their own names.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of a 2-D X, which have to be those of `fit`; they do not enter the result.

        Returns
        -------
        ndarray of str
        """
        if not hasattr(self, "layers_"):
            raise NotFittedError(f"This {type(self).__name__} has no feature names before fit.")
        _check_feature_names_in(self, input_features, generate_names=False)
        names: list[str] = []
        for layer, columns in self.layer_slices_.items():
            pooled = "" if layer == PENULTIMATE else f"_{'avg' if self.pooling == 'auto' else self.pooling}"
            stem = self._layer_labels[layer] + pooled
            names += [f"{stem}_{i}" for i in range(columns.stop - columns.start)]
        names += [INDICATOR] * getattr(self, "_has_gaps", False)
        return np.asarray(names, dtype=object)


def layer_labels(layers: Any, trace: Trace, pooling: str) -> dict[str, str]:
    """Return what each layer is called by the user: its name, or "penultimate"."""
    labels: dict[str, str] = {}
    for item in list(layers) if isinstance(layers, (list, tuple)) else [layers]:
        for layer in resolve_layers([item], trace, pooling):
            labels.setdefault(layer, PENULTIMATE if isinstance(item, str) and item == PENULTIMATE else layer)
    return labels
