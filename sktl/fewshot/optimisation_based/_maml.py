"""Model-agnostic meta-learning, and its variations."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, Options, StrOptions
from torch import nn

from sktl._validation import MOST_STEPS, MOST_UNITS
from sktl.fewshot.meta_training._method import FewShotMethod
from sktl.fewshot.meta_training._task_embedding import EmbedsTasks
from sktl.fewshot.optimisation_based._base import GradientLearner
from sktl.fewshot.optimisation_based._maml_method import RATES, MAMLMethod


class MAMLLearner(EmbedsTasks, GradientLearner):
    """Meta-trains the weights from which a few gradient steps learn a new task: MAML.

    In each episode a copy of the network takes `inner_steps` gradient steps on the support set, and the start is
    moved so that the copy does better on the queries. By options it is ANIL (``adapt="head"``), BOIL (``"body"``),
    first-order MAML (``order=1``), iMAML (``order="implicit"``), Meta-SGD (``learned_rates="parameter"``), or it has
    the multi-step loss and the rates by step of MAML++. Hand it on as
    ``FewShotClassifier(learner=FrozenEstimator(learner))``, or `FewShotRegressor`.

    Parameters
    ----------
    inner_steps : int, default=1
        Gradient steps on a support set.
    inner_learning_rate : float, default=0.4
        Of these steps; the start where rates are learned. Regressions want some 0.01.
    order : {1, 2, "implicit"}, default=2
        2 differentiates through the steps [1]_; 1 takes the gradient at their end for that at the start; "implicit"
        takes the gradient of the optimum that the steps approach, of the loss pulled to the start [4]_, for which
        memory does not grow with the steps.
    adapt : {"all", "head", "body"}, default="all"
        Which layers a task changes: all, the linear head [2]_, or everything else [3]_.
    zero_head : bool, default=False
        Start every task from a head of zeros, and not from one that is learned: what a class is called in its episode
        is then of no account, training gets further in the same time [8]_, and a task may have any number of classes.
        The first step moves the head alone, since no gradient goes through zeros; the second one moves the rest too.
    learned_rates : {"step", "parameter"}, default=None
        Learn the inner rates too: one a tensor and step [6]_, or one a weight [5]_. None keeps `inner_learning_rate`.
    multi_step_loss : bool, default=False
        Count the queries' loss after every step, less and less so during the first half of training [6]_.
    adapt_steps : int, default=None
        Steps on the support set of a new task; None is `inner_steps`. It may be set anew after `fit`.
    batch_norm : {"inductive", "transductive"}, default="inductive"
        Whether queries are normalised by the statistics of the support set, or by those of all queries they come with.
        The latter knows the other queries, is what most published figures were measured with, and makes a prediction
        depend on its company. There are no running statistics.
    vectorised : bool or "auto", default="auto"
        Whether tasks go through the network together or one after another. "auto" is together, but for convolutions
        on a CPU.
    proximal, cg_steps : float, int, default=2.0, 5
        Strength of the pull to the start, and conjugate gradient steps, of ``order="implicit"``.
    embedding_size : int, default=None
        If given, the start suits the task: factors and shifts for its units are emitted from an embedding, of this
        size, of the support set [7]_. That is for tasks of several kinds, which no one start is near to. The embedding
        is a mean over the rows, and not the paper's recurrent network; `task_embedding` returns it.
    n_way, n_shot : int or (int, int), default=5, 1
        Classes an episode, and support rows a class (a task, for regressions). A range is drawn from: the ways for each
        batch, the shots for each class.
    n_query : int, default=15
        Query rows a class.
    n_episodes : int, default=20000
        Episodes in all.
    meta_batch_size : int, default=4
        Episodes an update.
    learning_rate : float, default=1e-3
        Of Adam on the start, at its peak.
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

    Notes
    -----
    Classes are numbered anew in each episode, so what the start itself predicts means nothing; only what it becomes
    after adaptation does.

    References
    ----------
    .. [1] C. Finn, P. Abbeel and S. Levine, "Model-agnostic meta-learning for fast adaptation of deep networks",
       ICML, 2017.
    .. [2] A. Raghu, M. Raghu, S. Bengio and O. Vinyals, "Rapid learning or feature reuse? Towards understanding the
       effectiveness of MAML", ICLR, 2020.
    .. [3] J. Oh, H. Yoo, C. Kim and S.-Y. Yun, "BOIL: towards representation change for few-shot learning", ICLR, 2021.
    .. [4] A. Rajeswaran, C. Finn, S. Kakade and S. Levine, "Meta-learning with implicit gradients", NeurIPS, 2019.
    .. [5] Z. Li, F. Zhou, F. Chen and H. Li, "Meta-SGD: learning to learn quickly for few-shot learning",
       arXiv:1707.09835, 2017.
    .. [6] A. Antoniou, H. Edwards and A. Storkey, "How to train your MAML", ICLR, 2019.
    .. [7] R. Vuorio, S.-H. Sun, H. Hu and J. J. Lim, "Multimodal model-agnostic meta-learning via task-aware
       modulation", NeurIPS, 2019.
    .. [8] C.-H. Kao, W.-C. Chiu and P.-Y. Chen, "MAML is a noisy contrastive learner in classification", ICLR, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sktl.fewshot import FewShotRegressor, MAMLLearner
    >>> rng = np.random.default_rng(0)
    >>> task = np.repeat(np.arange(50), 20)
    >>> x = rng.uniform(-1, 1, (1000, 1))
    >>> y = rng.normal(size=50)[task] * x[:, 0]  # lines through the origin
    >>> learner = MAMLLearner(n_shot=5, inner_learning_rate=0.1, n_episodes=400, random_state=0).fit(x, y, groups=task)
    >>> line = FewShotRegressor(learner=FrozenEstimator(learner)).fit([[0.5], [-1.0]], [1.0, -2.0])
    >>> line.predict([[0.7]]).shape
    (1,)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **GradientLearner._parameter_constraints,
        "inner_steps": [Interval(Integral, 1, MOST_STEPS, closed="both")],
        "inner_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "order": [Options(Integral, {1, 2}), StrOptions({"implicit"})],
        "zero_head": ["boolean"],
        "learned_rates": [StrOptions(set(RATES)), None],
        "multi_step_loss": ["boolean"],
        "adapt_steps": [Interval(Integral, 0, MOST_STEPS, closed="both"), None],
        "proximal": [Interval(Real, 0, None, closed="neither")],
        "cg_steps": [Interval(Integral, 1, MOST_STEPS, closed="both")],
        "embedding_size": [Interval(Integral, 1, MOST_UNITS, closed="both"), None],
    }

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 15,
        inner_steps: int = 1,
        inner_learning_rate: float = 0.4,
        order: int | str = 2,
        adapt: str = "all",
        zero_head: bool = False,
        learned_rates: str | None = None,
        multi_step_loss: bool = False,
        adapt_steps: int | None = None,
        batch_norm: str = "inductive",
        vectorised: bool | str = "auto",
        proximal: float = 2.0,
        cg_steps: int = 5,
        embedding_size: int | None = None,
        n_episodes: int = 20000,
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
        self.inner_steps = inner_steps
        self.inner_learning_rate = inner_learning_rate
        self.order = order
        self.adapt = adapt
        self.zero_head = zero_head
        self.learned_rates = learned_rates
        self.multi_step_loss = multi_step_loss
        self.adapt_steps = adapt_steps
        self.batch_norm = batch_norm
        self.vectorised = vectorised
        self.proximal = proximal
        self.cg_steps = cg_steps
        self.embedding_size = embedding_size

    @property
    def _embeds_tasks(self) -> bool:
        return self.embedding_size is not None

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        if self.order == "implicit" and (self.learned_rates is not None or self.multi_step_loss):
            raise ValueError(
                "order='implicit' differentiates the optimum and not the steps: learned_rates and multi_step_loss "
                "have no gradient there. Use order=2, or leave them off."
            )
        if self.order == "implicit" and self.embedding_size is not None:
            raise ValueError(
                "order='implicit' knows the gradient of one start for all tasks: with embedding_size, use order=2 or 1."
            )
        self._check_head()
        n_updates = -(-self.n_episodes // self.meta_batch_size)
        return MAMLMethod, {
            "part": self.adapt,
            "zero_head": self.zero_head,
            "batch_norm": self.batch_norm,
            "inner_steps": int(self.inner_steps),
            "adapt_steps": self._adapt_steps(),
            "inner_learning_rate": float(self.inner_learning_rate),
            "order": self.order,
            "learned_rates": self.learned_rates,
            "multi_step_updates": n_updates // 2 if self.multi_step_loss else 0,
            "proximal": float(self.proximal),
            "cg_steps": int(self.cg_steps),
            "embedding_size": self.embedding_size,
            "vectorised": self.vectorised,
        }
