"""What a transformer of pictures does with them once they were understood: codes, their names, progress."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.callback import CallbackContext, CallbackSupportMixin, with_callbacks
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import _check_feature_names_in

from sktl._extraction import Extractor, codes_or_nan
from sktl._modes import InPlainModes
from sktl._progress import n_tasks, watched
from sktl.backbones import PENULTIMATE, Trace, resolve_layers
from sktl.images import PictureSource


class CodesMixin(InPlainModes, TransformerMixin, CallbackSupportMixin):
    """Abstract: computes codes. Callbacks see shares of the pictures as tasks, in `fit_transform` and `transform`."""

    verbose: int
    pooling: str
    layers_: tuple[str, ...]
    layer_slices_: dict[str, slice]
    _layer_labels: dict[str, str]

    @abstractmethod
    def _learn(self, X: Any) -> None:
        """Fit."""

    def _all_codes(self, extractor: Extractor, source: PictureSource) -> np.ndarray:
        is_reported = getattr(self, "on_bad", "error") == "report"
        return codes_or_nan(extractor, source) if is_reported else extractor.codes(source)

    @abstractmethod
    def _ready(self, X: Any) -> tuple[PictureSource, Extractor]:
        """Return the pictures, and what computes their codes."""

    @with_callbacks
    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and compute the codes of the same pictures.

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`.
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n, n_features_out), float32
            The layers' codes one after another.
        """
        self._validate_params()  # type: ignore[attr-defined]
        self._learn(X)
        return self._codes(X, y, "fit_transform")

    def transform(self, X: Any) -> np.ndarray:
        """Compute the codes of pictures. Works without `fit` too, but for 2-D rows with values beyond [0, 1].

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`.

        Returns
        -------
        ndarray of shape (n, n_features_out), float32
            The layers' codes one after another.
        """
        if hasattr(self, "_skl_callbacks"):  # a context is kept on the estimator: on one of this call's own
            return copy.copy(self)._codes_with_callbacks(X)
        source, extractor = self._ready(X)
        with watched(self, None, len(source), "pictures") as watch:
            return self._all_codes(dataclasses.replace(extractor, watch=watch), source)

    def iter_transform(self, X: Any, block_size: int = 1024) -> Iterator[np.ndarray]:
        """Compute the codes block by block, for more pictures than memory holds codes.

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`.
        block_size : int, default=1024
            Pictures a block.

        Yields
        ------
        ndarray of shape (block_size, n_features_out), float32
            In order; the last one may be shorter.
        """
        if not isinstance(block_size, Integral) or block_size < 1:
            raise ValueError(f"block_size must be a number of pictures, at least 1; got {block_size!r}.")
        source, extractor = self._ready(X)
        return self._blocks(source, extractor, int(block_size))

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
        return np.asarray(names, dtype=object)

    @with_callbacks
    def _codes_with_callbacks(self, X: Any) -> np.ndarray:
        return self._codes(X, None, "transform")

    def _codes(self, X: Any, y: Any, task: str) -> np.ndarray:
        source, extractor = self._ready(X)
        context: CallbackContext = self._init_callback_context(task_name=task, max_subtasks=n_tasks(len(source)))
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        with watched(self, context, len(source), "pictures") as watch:
            codes = self._all_codes(dataclasses.replace(extractor, watch=watch), source)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return codes

    def _blocks(self, source: PictureSource, extractor: Extractor, block_size: int) -> Iterator[np.ndarray]:
        with watched(self, None, len(source), "pictures") as watch:
            for _, codes in dataclasses.replace(extractor, watch=watch).iter_codes(source, block_size):
                yield codes


def layer_labels(layers: Any, trace: Trace, pooling: str) -> dict[str, str]:
    """Return what each layer is called by the user: its name, or "penultimate"."""
    labels: dict[str, str] = {}
    for item in list(layers) if isinstance(layers, (list, tuple)) else [layers]:
        for layer in resolve_layers([item], trace, pooling):
            labels.setdefault(layer, PENULTIMATE if isinstance(item, str) and item == PENULTIMATE else layer)
    return labels
