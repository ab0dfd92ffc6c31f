"""What a transformer of pictures or texts does with them once they were understood: codes, in blocks too, progress."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin

from sktl._callbacks import CallbackContext, CallbackSupportMixin, with_callbacks
from sktl._modes import InPlainModes
from sktl._progress import n_tasks, watched
from sktl._whole_fits import WholeFits
from sktl.features._dask_blocks import is_dask


class CodesMixin(WholeFits, InPlainModes, TransformerMixin, CallbackSupportMixin):
    """Abstract: computes codes. Callbacks see shares of the rows as tasks, in `fit_transform` and `transform`."""

    verbose: int
    _unit = "rows"  # what progress calls them

    @abstractmethod
    def _learn(self, X: Any) -> None:
        """Fit."""

    def _all_codes(self, extractor: Any, source: Any) -> np.ndarray:
        return extractor.codes(source)

    @abstractmethod
    def _ready(self, X: Any) -> tuple[Any, Any]:
        """Return the rows, of which there is a length, and what computes their codes.

        That is a data class with `codes`, `iter_codes` and `watch`.
        """

    def _note_parameters(self) -> None:
        """Note what `fit` was given and has checked."""
        self._checked_parameters = tuple(self.get_params(deep=False).items())  # type: ignore[attr-defined]

    def _validate_params(self) -> None:
        """Check the parameters, but for those that `fit` has checked: for one small picture that takes a fifth."""
        checked, now = vars(self).get("_checked_parameters"), vars(self)
        if checked is None or any(now.get(name) is not value for name, value in checked):
            super()._validate_params()  # type: ignore[misc]

    @with_callbacks
    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and compute the codes of the same rows.

        Parameters
        ----------
        X : array-like or sequence
            As in `fit`.
        y : None
            Ignored.

        Returns
        -------
        ndarray or Dask array of shape (n, n_features_out), float32
            One code a row; of a Dask collection lazily, as in `transform`.
        """
        self._validate_params()  # type: ignore[attr-defined]
        self._learn(X)
        return self._lazy(X) if is_dask(X) else self._codes(X, y, "fit_transform")

    def transform(self, X: Any) -> np.ndarray:
        """Compute the codes of rows. Works without `fit` too, but for pictures in a 2-D X with values beyond [0, 1].

        Parameters
        ----------
        X : array-like or sequence
            As in `fit`. Of a Dask array, a Series or column of a Dask data frame, or a Dask bag, nothing is computed
            now: each block is a task, and the network is loaded once in each process that runs tasks. Engine and
            precision are settled here for all of them.

        Returns
        -------
        ndarray or Dask array of shape (n, n_features_out), float32
            One code a row.
        """
        if is_dask(X):
            return self._lazy(X)
        if hasattr(self, "_skl_callbacks"):  # a context is kept on the estimator: on one of this call's own
            return copy.copy(self)._codes_with_callbacks(X)
        source, extractor = self._ready(X)
        with watched(self, None, len(source), self._unit) as watch:
            return self._all_codes(dataclasses.replace(extractor, watch=watch), source)

    def iter_transform(self, X: Any, block_size: int = 1024) -> Iterator[np.ndarray]:
        """Compute the codes block by block, for more rows than memory holds codes.

        Parameters
        ----------
        X : array-like or sequence
            As in `fit`. Blocks of a Dask collection are computed by the cluster's client, if there is one, a few ahead.
        block_size : int, default=1024
            Rows a block.

        Yields
        ------
        ndarray of shape (block_size, n_features_out), float32
            In order; the last one may be shorter.
        """
        if not isinstance(block_size, Integral) or block_size < 1:
            raise ValueError(f"block_size must be a number of rows, at least 1; got {block_size!r}.")
        if is_dask(X):
            from sktl.features._lazy_codes import iter_lazy_codes

            return iter_lazy_codes(self, X, int(block_size))
        source, extractor = self._ready(X)
        return self._blocks(source, extractor, int(block_size))

    def _lazy(self, X: Any) -> Any:
        from sktl.features._lazy_codes import lazy_codes

        return lazy_codes(self, X)

    @with_callbacks
    def _codes_with_callbacks(self, X: Any) -> np.ndarray:
        return self._codes(X, None, "transform")

    def _codes(self, X: Any, y: Any, task: str) -> np.ndarray:
        source, extractor = self._ready(X)
        context: CallbackContext = self._init_callback_context(task_name=task, max_subtasks=n_tasks(len(source)))
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        with watched(self, context, len(source), self._unit) as watch:
            codes = self._all_codes(dataclasses.replace(extractor, watch=watch), source)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return codes

    def _blocks(self, source: Any, extractor: Any, block_size: int) -> Iterator[np.ndarray]:
        with watched(self, None, len(source), self._unit) as watch:
            for _, codes in dataclasses.replace(extractor, watch=watch).iter_codes(source, block_size):
                yield codes
