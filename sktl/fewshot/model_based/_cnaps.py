"""Amortised learners that modulate a network."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl.fewshot.heads import State, class_means
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._inputs import OWN_NETWORKS
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._method import FewShotMethod, result
from sktl.fewshot.meta_training._set_encoder import SetEncoder
from sktl.fewshot.meta_training._task_embedding import EmbedsTasks
from sktl.fewshot.meta_training._task_inputs import perceptron
from sktl.fewshot.model_based._film import modulated_by, with_film
from sktl.training import StepResult

STEP = 0.1  # of the emitted numbers: they start near 0


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
        backbone: str | nn.Module = "auto",
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
            backbone=backbone, n_way=n_way, n_shot=n_shot, n_query=n_query, n_episodes=n_episodes,
            meta_batch_size=meta_batch_size, learning_rate=learning_rate, schedule=schedule, rotations=rotations,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, warm_start=warm_start,
            checkpoint_dir=checkpoint_dir, image_shape=image_shape, value_range=value_range, image_size=image_size,
            callbacks=callbacks, device=device, precision=precision, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.hidden = hidden
        self.n_film = n_film
        self.freeze = freeze

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        is_published = isinstance(self.backbone, str) and self.backbone not in OWN_NETWORKS
        freezes = is_published if self.freeze == "auto" else bool(self.freeze)
        return FiLMMethod, {"hidden": int(self.hidden), "n_film": int(self.n_film), "freezes": freezes}


FACTOR, SHIFT = "factor:", "shift:"  # what the names in a state begin with


class FiLMMethod(FewShotMethod):
    """Emits factors and shifts for layers of the encoder from the support set, then a linear classifier.

    The former come from the mean of its codes, the latter from the class means of the codes that the encoder now makes.

    Before training nothing is modulated, and the classifier is the one of the nearest prototype.

    Parameters
    ----------
    encoder : Encoder
        Rows to codes; some of its layers become modulated.
    n_outputs : int
        Not needed: tasks may have any number of classes.
    hidden : int
        Size of a task's embedding.
    n_film : int
        Layers that are modulated, at most.
    freezes : bool
        Whether the encoder stays as it is.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, *, hidden: int, n_film: int, freezes: bool):
        super().__init__()
        (n_codes,) = encoder.code_shape
        self.widths = with_film(encoder.network, n_film)
        self.encoder = encoder
        if freezes:
            self.frozen = ("encoder.network",)
            encoder.requires_grad_(False)
        self.norm = nn.LayerNorm(n_codes, elementwise_affine=False)
        self.examples = SetEncoder(n_codes, 0, hidden, 2)
        # no modulation at first, and prototypes
        self.film = nn.ModuleList(
            perceptron(hidden, hidden, 2 * width, starts_at_zero=True) for width in self.widths.values()
        )
        self.classifier = perceptron(n_codes, hidden, n_codes, starts_at_zero=True)
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(n_codes)))

    def task_embedding(self, support: Tensor, y: Tensor) -> Tensor:
        """Return what is emitted from: one vector a task, (n_tasks, hidden)."""
        with self._as_in_evaluation():
            codes = self.encoder(support.flatten(0, 1)).unflatten(0, support.shape[:2])
        return self.examples(self.norm(codes), y)[1]

    def modulation(self, embedding: Tensor) -> State:
        """Return the factors, less 1, and shifts of each layer, (n_tasks, channels)."""
        state = {}
        for name, emitter in zip(self.widths, self.film):
            state[FACTOR + name], state[SHIFT + name] = (STEP * emitter(embedding)).chunk(2, -1)
        return state

    def adapt(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return the modulation, and the linear classifier's weights and biases."""
        state = self.modulation(self.task_embedding(support, y))
        return {**state, **self.linear(self.codes(state, support), y, n_outputs)}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs of each task's network."""
        return self.classified(state, self.codes(state, query))

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the queries' loss, support and queries of all tasks encoded in one pass once modulated."""
        state = self.modulation(self.task_embedding(episodes.support, episodes.support_y))
        n_support = episodes.support.shape[1]
        codes = self.codes(state, torch.cat([episodes.support, episodes.query], 1))
        linear = self.linear(codes[:, :n_support], episodes.support_y, episodes.n_way)
        return result(self.classified(linear, codes[:, n_support:]), episodes.query_y)

    def codes(self, state: State, rows: Tensor) -> Tensor:
        """Return the modulated network's codes (n_tasks, n, n_codes)."""
        n = rows.shape[1]
        modulation = {
            name: tuple(state[part + name].repeat_interleave(n, 0) for part in (FACTOR, SHIFT)) for name in self.widths
        }
        with modulated_by(modulation):  # type: ignore[arg-type]
            return self.norm(self.encoder(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]))

    def linear(self, codes: Tensor, y: Tensor, n_way: int) -> State:
        """Return weights (n_tasks, n_way, n_codes) and biases (n_tasks, n_way), emitted from each class mean."""
        # |x - c|^2 = |x|^2 - 2 c.x + |c|^2:   w = 2 s c,  b = -s |c|^2,   c = mean + correction
        means = class_means(codes, y, n_way)
        centres = means + STEP * self.classifier(means)
        scale = self.log_scale.exp() / 2
        return {"weights": 2 * scale * centres, "biases": -scale * centres.square().sum(-1)}

    def classified(self, state: State, codes: Tensor) -> Tensor:
        """Return w_k . x + b_k."""
        return codes @ state["weights"].transpose(1, 2) + state["biases"].unsqueeze(1)

    @contextlib.contextmanager
    def _as_in_evaluation(self) -> Iterator[None]:
        """Keep batch norms from mixing codes before modulation into the statistics of those behind it."""
        was_training = [module for module in self.encoder.modules() if module.training]
        for module in was_training:
            module.training = False
        try:
            yield
        finally:
            for module in was_training:
                module.training = True
