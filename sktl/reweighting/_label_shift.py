"""What estimates of a label shift share: how much more frequent each class is in the target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sktl._array_api import check_array, column_or_1d
from sktl._columns import check_length
from sktl._documented import Documented


class LabelShift(Documented, BaseEstimator, ABC):
    """Abstract: how much more frequent each class is in the target, where only the classes' shares differ.

    A subclass stores its parameters and computes in `_estimate`, from predictions of a classifier: those of source rows
    that it has not seen, whose classes are known, and those of target rows.
    """

    _parameter_constraints: ClassVar[dict] = {}
    needs_probabilities: ClassVar[bool] = False

    def estimate(self, y: Any, proba_source: Any, proba_target: Any) -> np.ndarray:
        """Return the ratio of each class's share in the target over that in the source.

        Parameters
        ----------
        y : array-like of int, shape (n_source,)
            True classes of the source rows, as column numbers of the probabilities.
        proba_source : array-like of shape (n_source, n_classes)
            Probabilities of source rows that the classifier was not trained on.
        proba_target : array-like of shape (n_target, n_classes)
            Probabilities of target rows.

        Returns
        -------
        ndarray of shape (n_classes,)
            None below 0; their mean over the source rows is 1.

        Raises
        ------
        ValueError
            If a class of the columns has no source row, or shapes differ.
        """
        self._validate_params()
        proba_source, proba_target = (
            check_array(proba, dtype=np.float64, input_name=name)
            for proba, name in ((proba_source, "proba_source"), (proba_target, "proba_target"))
        )
        y = column_or_1d(y)
        check_length(y, len(proba_source), "y")
        n_classes = proba_source.shape[1]
        if proba_target.shape[1] != n_classes:
            raise ValueError(
                f"proba_source has {n_classes} columns and proba_target {proba_target.shape[1]}: one for each class."
            )
        if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= n_classes:
            raise ValueError(f"y must hold column numbers, 0 to {n_classes - 1}; got {np.unique(y)[:10].tolist()}.")
        prior = np.bincount(y, minlength=n_classes) / len(y)
        if not prior.all():
            raise ValueError(
                f"Classes {np.flatnonzero(prior == 0).tolist()} have no source row: their ratio cannot be told. Leave "
                "their columns out."
            )
        found = np.clip(self._estimate(y, prior, proba_source, proba_target), 0.0, None)
        total = prior @ found
        if not np.isfinite(total) or total <= 0:
            raise ValueError(
                f"{type(self).__name__} found no share of any class in the target: the classifier's predictions do not "
                "tell the classes. Use a better classifier, or weights by rows ('discriminative')."
            )
        return found / total

    @abstractmethod
    def _estimate(
        self, y: np.ndarray, prior: np.ndarray, proba_source: np.ndarray, proba_target: np.ndarray
    ) -> np.ndarray:
        """Return the ratios, (n_classes,), not yet brought to a mean of 1; `prior` is each class's share in y."""


def confusion(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the shares of (predicted class, true class), (n_classes, n_classes), for predictions (n, n_classes)."""
    return predicted.T @ np.eye(predicted.shape[1])[y] / len(y)


def hardened(proba: np.ndarray) -> np.ndarray:
    """Return 1 for the most probable class of each row, else 0."""
    return np.eye(proba.shape[1])[proba.argmax(axis=1)]
