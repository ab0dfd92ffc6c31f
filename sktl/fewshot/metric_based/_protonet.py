"""Prototypical networks."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sktl.fewshot.heads import DISTANCES, Head, PrototypeHead
from sktl.fewshot.meta_training._inputs import InputSpec
from sktl.fewshot.meta_training._residual_rows import WIDE
from sktl.fewshot.metric_based._base import MetricLearner


class ProtoNetLearner(MetricLearner):
    """Meta-trains an encoder in whose space the nearest class mean is right: a prototypical network.

    In each episode the queries of some classes are classified by the distance to the mean codes, the prototypes, of
    the classes' support rows; the encoder learns from their errors. A new task needs no training at all: its
    prototypes are means. As in the paper, training with more classes an episode than there will be later helps.

    It is a transformer of rows to codes. Hand it on as ``ProtoNetClassifier(encoder=FrozenEstimator(learner))``.

    Parameters
    ----------
    backbone : "auto", "conv4", "mlp", "residual", "identity", name or Module, default="auto"
        The network. "auto" is "conv4" for pictures, four convolutions of 64 filters, and "mlp" for feature rows, two
        linear layers on standardised rows; but this learner takes "residual" for rows of 64 columns or more, as codes
        have: it starts as the rows at length one and learns what to add. A name of `sktl.list_backbones` starts from
        published weights. "identity" is for learners that train more than an encoder: standardised rows, or pixels, are
        the codes. A module takes a batch, pictures (n, channels, height, width) with values in [0, 1] or feature rows,
        and returns codes; it is copied, not changed.
    n_way, n_shot : int or (int, int), default=20, 1
        Classes an episode, and support rows a class. A range is drawn from: the ways for each batch, the shots for each
        class.
    n_query : int, default=5
        Query rows a class.
    n_episodes : int, default=10000
        Episodes in all.
    meta_batch_size : int, default=1
        Episodes an update.
    learning_rate : float, default=1e-3
        Of Adam, at its peak.
    schedule : str, callable(step, n_steps) or None, default="cosine"
        Factor of the rate: "cosine", "linear", "constant", "steps", "one_cycle", or your own.
    distance : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        Between codes and prototypes. Cosines are scaled by a learned factor.
    head : str or Head, default="prototypes"
        What classifies the codes: "prototypes", "cosine", "simpleshot", "ridge" (this is R2-D2 then [2]_), "nearest",
        "logistic", or a head of `sktl.fewshot.heads`.
    rotations : bool, default=False
        Whether pictures turned by 90, 180 and 270 degrees are classes of their own, as is the habit with Omniglot.
    validation_fraction : float or "auto", default="auto"
        Share of the classes (of the groups, where there are) that is held out: after each epoch of 100 updates their
        loss is taken, training stops when it no longer falls, and the best epoch is kept. "auto", of this learner
        alone, is 0, but for "residual" a quarter of the classes, two at least, as long as two are left: where these
        gain less than one point of accuracy, the rows' directions stay as they are. Episodes then have no more classes
        than are left.
    n_iter_no_change : int, default=10
        Epochs without improvement until training stops.
    warm_start : bool, default=False
        Whether `fit` goes on from what the last one learned.
    checkpoint_dir : str or path, default=None
        A folder that the training is saved to after each epoch, and goes on from if it was stopped. Any number of
        trainings may share it: each is told from the others by its data and its parameters.
    image_shape : tuple of int, default=None
        For 2-D X that holds flattened pictures: (height, width), (height, width, channels) or (channels, height,
        width).
    value_range : (float, float), default=None
        What is black and white in pictures, as in `CNNCodesTransformer`.
    image_size : int or (int, int), default=None
        Height and width in pixels at which the network sees pictures. None is their own size in arrays, 84 pixels for
        files, or what the backbone expects.
    callbacks : list, default=None
        skorch callbacks. scikit-learn's own come by `set_callbacks`.
    device : str or torch.device, default="auto"
        "auto" is CUDA, then MPS, then the CPU. With "accelerate", the processes that ``accelerate launch`` (or
        torchrun) has started share the tasks of an update; there must be as many of them as processes at least.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        What layers compute in while training. "auto" is float32.
    random_state : int, RandomState or None, default=None
        Fixes the result.
    verbose : int, default=0
        1 shows a line with the time left, once `fit` takes more than 5 seconds; 2 prints a line an epoch.

    Attributes
    ----------
    n_iter_ : int
        Updates made.
    history_ : list of dict
        A row an epoch: train_loss, train_accuracy, valid_loss, valid_accuracy, lr, dur; `warm_start` adds to it.
    best_epoch_ : int or None
        The epoch whose weights are kept for their validation loss; None where no classes are held out, 0 where
        the network stays as it started.
    learning_rate_ : float
        The rate at its peak.
    n_trained_, n_parameters_ : int
        Numbers in the network that were trained, and all of them.
    n_outputs_ : int
        Classes of an episode, at most; or values of a regression.
    n_features_in_ : int
        For 2-D X only.

    See Also
    --------
    ProtoNetClassifier : Learns a new task with what was learned here.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning", NeurIPS, 2017.
    .. [2] L. Bertinetto, J. Henriques, P. Torr and A. Vedaldi, "Meta-learning with differentiable closed-form
       solvers", ICLR, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sktl.fewshot import ProtoNetClassifier, ProtoNetLearner
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = ProtoNetLearner(n_way=3, n_episodes=50, random_state=0).fit(X, y)
    >>> model = ProtoNetClassifier(encoder=FrozenEstimator(learner))
    >>> model.fit([[0, 0, 0, 3], [3, 0, 0, 0]], ["new", "old"]).predict([[0, 0, 0, 4]])
    array(['new'], dtype='<U3')
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetricLearner._parameter_constraints,
        "distance": [StrOptions(set(DISTANCES))],
        "head": [str, Head],
        "validation_fraction": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 20,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 5,
        distance: str = "sqeuclidean",
        head: str | Head = "prototypes",
        n_episodes: int = 10000,
        meta_batch_size: int = 1,
        learning_rate: float = 1e-3,
        schedule: str | Callable | None = "cosine",
        rotations: bool = False,
        validation_fraction: float | str = "auto",
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
        self.distance = distance
        self.head = head

    def _network_for(self, spec: InputSpec) -> Any:
        is_wide = spec.is_rows and spec.shape[0] >= WIDE
        return "residual" if is_wide and self.backbone == "auto" else super()._network_for(spec)

    def _head(self) -> Head | str:
        return PrototypeHead(self.distance) if self.head == "prototypes" else self.head
