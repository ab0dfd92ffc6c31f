"""Amortised learners that modulate a network."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sktl._validation import MOST_UNITS
from sktl.fewshot._base import MetaLearner
from sktl.fewshot._film_method import FiLMMethod
from sktl.fewshot._inputs import OWN_NETWORKS
from sktl.fewshot._method import FewShotMethod
from sktl.fewshot._task_embedding import EmbedsTasks


class CNAPsLearner(EmbedsTasks, MetaLearner):
    """Meta-trains a network that emits the parameters of a task's classifier from its support set: CNAPs.

    From the mean of the support set comes an embedding of the task, and from that a factor and a shift for each channel
    of some layers of the encoder (FiLM); from the class means of the codes that the encoder now makes comes a linear
    classifier. A new task is learned in two passes of its support set, without gradients. Before training it is a
    prototypical network. Hand it on as ``FewShotClassifier(learner=FrozenEstimator(learner))``.

    It departs from the paper in that the task is embedded by the encoder's own codes, in that the modulation of one
    layer does not look at what the ones before it made of the support set, and in the start as prototypes.

    Parameters
    ----------
    hidden : int, default=64
        Size of a task's embedding, and units of what emits.
    n_film : int, default=8
        Layers that are modulated, at most: normalisations, spread evenly over the depth of the network; or else
        convolutions and linear layers.
    freeze : "auto" or bool, default="auto"
        Whether the encoder stays as it is, and only what emits is trained. "auto" freezes backbones of published
        weights. A frozen network is no part of what is saved.
    n_way, n_shot : int or (int, int), default=5, 1
        Classes an episode, and support rows a class. A range is drawn from: the ways for each batch, the shots
        for each class.
    n_query : int, default=10
        Query rows a class.
    n_episodes : int, default=10000
        Episodes in all.
    meta_batch_size : int, default=4
        Episodes an update.
    learning_rate : float, default=1e-3
        Of Adam, at its peak.
    schedule : str, callable(step, n_steps) or None, default="cosine"
        Factor of the rate, as in `ProtoNetLearner`.
    module, rotations, validation_fraction, n_iter_no_change, warm_start, checkpoint_dir, image_shape, value_range
        As in `ProtoNetLearner`.
    image_size, callbacks, device, precision, random_state, verbose
        As in `ProtoNetLearner`.

    Attributes
    ----------
    n_iter_, history_, n_outputs_, n_features_in_
        As in `ProtoNetLearner`.

    References
    ----------
    .. [1] J. Requeima, J. Gordon, J. Bronskill, S. Nowozin and R. E. Turner, "Fast and flexible multi-task
       classification using conditional neural adaptive processes", NeurIPS, 2019.
    .. [2] E. Perez, F. Strub, H. de Vries, V. Dumoulin and A. Courville, "FiLM: visual reasoning with a general
       conditioning layer", AAAI, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import CNAPsLearner
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = CNAPsLearner(n_way=3, n_episodes=32, random_state=0).fit(X, y)
    >>> state = learner.adapt_to(X[[0, 20, 40]], y[[0, 20, 40]])
    >>> learner.logits(state, X).shape
    (60, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetaLearner._parameter_constraints,
        "hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "n_film": [Interval(Integral, 1, None, closed="left")],
        "freeze": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        module: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 10,
        hidden: int = 64,
        n_film: int = 8,
        freeze: bool | str = "auto",
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
            module=module, n_way=n_way, n_shot=n_shot, n_query=n_query, n_episodes=n_episodes,
            meta_batch_size=meta_batch_size, learning_rate=learning_rate, schedule=schedule, rotations=rotations,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, warm_start=warm_start,
            checkpoint_dir=checkpoint_dir, image_shape=image_shape, value_range=value_range, image_size=image_size,
            callbacks=callbacks, device=device, precision=precision, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.hidden = hidden
        self.n_film = n_film
        self.freeze = freeze

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        is_published = isinstance(self.module, str) and self.module not in OWN_NETWORKS
        freezes = is_published if self.freeze == "auto" else bool(self.freeze)
        return FiLMMethod, {"hidden": int(self.hidden), "n_film": int(self.n_film), "freezes": freezes}
