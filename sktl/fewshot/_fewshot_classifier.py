"""A new task of classification, learned by a meta-learner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._columns import class_labels
from sktl._estimator import LogitClassifierMixin
from sktl._torch_datasets import refuse_silent_targets
from sktl.cache import CodeCache
from sktl.fewshot._encoding import refuse_missing
from sktl.fewshot._task_learner import TaskLearner
from sktl.fewshot.heads import Head


class FewShotClassifier(LogitClassifierMixin, TaskLearner):
    """Learns a task from a handful of labelled examples, the way its meta-learner has learned to.

    `fit` adapts: what it learns is the small `state_`. The learner stays as it is, so one may serve many tasks.

    Parameters
    ----------
    learner : "auto", str, path, Head or meta-learner, default="auto"
        A meta-trained learner as ``FrozenEstimator(learner)``, or the path of a saved one (``.safetensors``). One that
        is not frozen is cloned and meta-trained on the support set itself. Or, without any meta-training, a head on the
        encoder's codes: "prototypes", "cosine", "simpleshot", "ridge", "nearest", "logistic", or a head object.
        "auto" is "ridge", whose penalty and scale are chosen by leave-one-out losses in closed form; for feature rows
        of fewer than 64 columns it is "logistic" on rows in the metric of
        ``ProtoNetClassifier(normalize="within")``, where other heads take rows as they are, and
        warn if columns have units of their own.
    backbone, encoder
        What turns rows or pictures into codes for a head, as in `ProtoNetClassifier`: by default the embedded network
        for pictures, and feature rows as they are.
    image_shape, value_range, image_size, cache, device
        As in `ProtoNetClassifier`, for a backbone.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    state_ : TaskState
        What was learned of the task.
    learner_ : meta-learner or Head
        The learner in use.
    encoder_ : transformer or None
        The encoder in use.
    n_features_in_ : int
        For 2-D X only.

    See Also
    --------
    MAMLLearner, ReptileLearner, MetaLSTMLearner, MatchingNetLearner, RelationNetLearner : Learners.
    MANNLearner, SNAILLearner, CNAPsLearner, InContextLearner : Learners that read a task, without gradients.
    ProtoNetClassifier : For prototypes, which can be added to.

    Examples
    --------
    >>> from sktl.fewshot import FewShotClassifier
    >>> FewShotClassifier("nearest").fit([[0.0], [1.0], [5.0]], ["a", "a", "b"]).predict([[2.0], [4.0]])
    array(['a', 'b'], dtype='<U1')
    """

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
    def fit(self, X: Any, y: Any) -> FewShotClassifier:
        """Learn the task of a support set.

        Parameters
        ----------
        X : array-like or sequence of pictures
            Pictures or 2-D feature rows as in `ProtoNetClassifier`, or what the learner or the encoder takes.
        y : array-like of shape (n,)
            Labels of any type.

        Returns
        -------
        FewShotClassifier
            Itself.
        """
        refuse_silent_targets(X, y, self)
        X = rows_on_host(X)
        refuse_missing(self, X, y)
        classes, codes = np.unique(class_labels(y, n_rows(X), self), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                "FewShotClassifier needs samples of at least 2 classes in the support set, but the data contains only "
                f"one class: {classes[0]!r}."
            )
        self._fit(X, y, torch.from_numpy(codes), classes)
        self.classes_ = classes
        return self
