"""Relation networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sktl.fewshot.heads import Head, RelationHead
from sktl.fewshot.metric_based._base import MetricLearner


class RelationNetLearner(MetricLearner):
    """Meta-trains an encoder together with a network that judges how well two codes go together: a relation network.

    The distance is learned instead of chosen. Codes are feature maps where the network has them. Hand it on as
    ``FewShotClassifier(learner=FrozenEstimator(learner))``.

    Parameters
    ----------
    n_way, n_shot : int or (int, int), default=5, 1
        Classes an episode, and support rows a class. A range is drawn from: the ways for each batch, the shots for each
        class.
    n_query : int, default=15
        Query rows a class.
    n_episodes : int, default=10000
        Episodes in all.
    meta_batch_size : int, default=4
        Episodes an update.
    learning_rate : float, default=1e-3
        Of Adam, at its peak.
    schedule : str, callable(step, n_steps) or None, default="cosine"
        Factor of the rate: "cosine", "linear", "constant", "steps", "one_cycle", or your own.
    backbone, rotations, validation_fraction, n_iter_no_change, warm_start, checkpoint_dir, image_shape, value_range
        As in `ProtoNetLearner`.
    image_size, callbacks, device, precision, random_state, verbose
        As in `ProtoNetLearner`.

    Attributes
    ----------
    n_iter_, history_, n_outputs_, n_features_in_
        As in `ProtoNetLearner`.

    References
    ----------
    .. [1] F. Sung, Y. Yang, L. Zhang, T. Xiang, P. Torr and T. Hospedales, "Learning to compare: relation network
       for few-shot learning", CVPR, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import RelationNetLearner
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = RelationNetLearner(n_way=3, n_episodes=50, random_state=0).fit(X, y)
    >>> state = learner.adapt_to(X[[0, 20, 40]], y[[0, 20, 40]])
    >>> learner.logits(state, X).shape
    (60, 3)
    """

    keeps_maps = True

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 15,
        n_episodes: int = 10000,
        meta_batch_size: int = 4,
        learning_rate: float = 1e-3,
        schedule: str | Callable | None = "cosine",
        rotations: bool = False,
        validation_fraction: float = 0.0,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        checkpoint_dir: str | Path | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        callbacks: list | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        super().__init__(
            backbone=backbone, n_way=n_way, n_shot=n_shot, n_query=n_query, n_episodes=n_episodes,
            meta_batch_size=meta_batch_size, learning_rate=learning_rate, schedule=schedule, rotations=rotations,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, warm_start=warm_start,
            checkpoint_dir=checkpoint_dir, image_shape=image_shape, value_range=value_range, image_size=image_size,
            callbacks=callbacks, device=device, precision=precision, random_state=random_state, verbose=verbose,
        )  # fmt: skip

    def _head(self) -> Head:
        return RelationHead()
