"""A new task of regression, learned by a meta-learner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._columns import target_values
from sktl._estimator import RegressorScoreMixin
from sktl._magnitudes import LARGEST_FLOAT64, check_magnitude
from sktl._torch_datasets import refuse_silent_targets
from sktl.cache import CodeCache
from sktl.fewshot._encoding import refuse_missing
from sktl.fewshot._task_learner import TaskLearner
from sktl.fewshot.heads import Head


class FewShotRegressor(RegressorScoreMixin, TaskLearner):
    """Learns a regression from a handful of examples, the way its meta-learner has learned to.

    Parameters
    ----------
    learner : "auto", "ridge", path, Head or meta-learner, default="auto"
        A meta-trained learner as ``FrozenEstimator(learner)``, or the path of a saved one; or ridge regression on the
        encoder's codes, without any meta-training. See `FewShotClassifier`. "auto" is ridge regression too, of
        columns at one scale, averaged over its penalties by the evidence for each (MacKay, 1992), since few rows do not
        tell one from another. A column counts no further than one range beyond the rows that were learned.
    backbone, encoder, image_shape, value_range, image_size, cache, device
        As in `FewShotClassifier`.

    Attributes
    ----------
    state_ : TaskState
        What was learned of the task.
    learner_, encoder_, n_features_in_
        As in `FewShotClassifier`.

    See Also
    --------
    MAMLLearner, ReptileLearner, MetaLSTMLearner, ConditionalNeuralProcessLearner, MANNLearner, SNAILLearner : Learners.

    Examples
    --------
    >>> from sktl.fewshot import FewShotRegressor
    >>> FewShotRegressor().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]).predict([[1.0]]).round(6)
    array([1.])
    """

    heads = ("auto", "ridge")
    is_classifier = False

    def __init__(
        self,
        learner: str | Path | Head | Any = "auto",
        *,
        backbone: str | nn.Module | Callable = "auto",
        encoder: str | Path | nn.Module | Any = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        cache: str | Path | CodeCache | None = None,
        device: str | torch.device = "auto",
    ):
        super().__init__(
            learner,
            backbone=backbone,
            encoder=encoder,
            image_shape=image_shape,
            value_range=value_range,
            image_size=image_size,
            cache=cache,
            device=device,
        )

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> FewShotRegressor:
        """Learn the task of a support set.

        Parameters
        ----------
        X : array-like or sequence of pictures
            Pictures or 2-D feature rows as in `ProtoNetClassifier`, or what the learner or the encoder takes.
        y : array-like of shape (n,) or (n, n_outputs)
            Values.

        Returns
        -------
        FewShotRegressor
            Itself.
        """
        refuse_silent_targets(X, y, self)
        X = rows_on_host(X)
        refuse_missing(self, X, y)
        table = target_values(y, n_rows(X), self)
        check_magnitude(table, LARGEST_FLOAT64, "y")
        values, is_vector = table.reshape(len(table), -1), table.ndim == 1
        self._fit(X, values, torch.from_numpy(values), None)
        self._is_vector = is_vector
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the values, (n,) or (n, n_outputs) as in `fit`."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._is_vector else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
