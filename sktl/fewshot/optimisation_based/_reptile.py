"""Reptile."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from sktl._validation import MOST_STEPS
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._method import FewShotMethod, outputs_of, result, task_losses
from sktl.fewshot.optimisation_based._base import GradientLearner
from sktl.fewshot.optimisation_based._gradient_method import GradientMethod, with_gradient
from sktl.fewshot.optimisation_based._inner_loop import InnerLoop
from sktl.training import StepResult


class ReptileLearner(GradientLearner):
    """Meta-trains the weights from which gradient steps learn a new task, by moving them to where tasks end: Reptile.

    No gradient goes through the steps, so there may be many. In training an episode has more shots than the new tasks
    will have; queries are needed for the reported loss only. Hand it on as
    ``FewShotClassifier(learner=FrozenEstimator(learner))``, or `FewShotRegressor`. It departs from the paper's code in
    that Adam's second moments start anew in each task.

    Parameters
    ----------
    inner_steps : int, default=5
        Steps on an episode in meta-training.
    adapt_steps : int, default=50
        Steps on the support set of a new task. It may be set anew after `fit`.
    inner_learning_rate : float, default=1e-3
        Of these steps.
    inner_optimizer : {"adam", "sgd"}, default="adam"
        Adam without momentum, or plain gradients.
    inner_batch_size : int, default=10
        Support rows a step, taken in turn; None takes all.
    adapt : {"all", "head", "body"}, default="all"
        Which layers a task changes.
    zero_head : bool, default=False
        Start every task from a head of zeros, and not from one that is learned: what a class is called in its episode
        is then of no account, training gets further in the same time [2]_, and a task may have any number of classes.
        The first step moves the head alone, since no gradient goes through zeros; later ones move the rest too.
    batch_norm : {"inductive", "transductive"}, default="inductive"
        Whether queries are normalised by the statistics of the support set, or by those of all queries they come with.
        The latter knows the other queries, is what most published figures were measured with, and makes a prediction
        depend on its company. There are no running statistics.
    vectorised : bool or "auto", default="auto"
        Whether tasks go through the network together or one after another. "auto" is together, but for convolutions
        on a CPU.
    n_way, n_shot : int or (int, int), default=5, 10
        Classes an episode, and support rows a class (a task, for regressions). A range is drawn from: the ways for each
        batch, the shots for each class.
    n_query : int, default=5
        Query rows a class.
    n_episodes : int, default=50000
        Episodes in all.
    meta_batch_size : int, default=5
        Episodes an update.
    learning_rate : float, default=1.0
        How far towards the mean of the tasks' weights the start moves, at first.
    schedule : str, callable(step, n_steps) or None, default="linear"
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
    .. [1] A. Nichol, J. Achiam and J. Schulman, "On first-order meta-learning algorithms", arXiv:1803.02999, 2018.
    .. [2] C.-H. Kao, W.-C. Chiu and P.-Y. Chen, "MAML is a noisy contrastive learner in classification", ICLR, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import FewShotClassifier, ReptileLearner
    >>> from sklearn.frozen import FrozenEstimator
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = ReptileLearner(n_way=2, n_episodes=100, inner_learning_rate=0.01, random_state=0).fit(X, y)
    >>> task = FewShotClassifier(learner=FrozenEstimator(learner)).fit([[0, 0, 0, 3], [3, 0, 0, 0]], ["new", "old"])
    >>> task.predict([[0, 0, 0, 4]])
    array(['new'], dtype='<U3')
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **GradientLearner._parameter_constraints,
        "inner_steps": [Interval(Integral, 1, MOST_STEPS, closed="both")],
        "adapt_steps": [Interval(Integral, 0, MOST_STEPS, closed="both")],
        "inner_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "inner_optimizer": [StrOptions({"adam", "sgd"})],
        "inner_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "zero_head": ["boolean"],
    }

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 10,
        n_query: int = 5,
        inner_steps: int = 5,
        adapt_steps: int = 50,
        inner_learning_rate: float = 1e-3,
        inner_optimizer: str = "adam",
        inner_batch_size: int | None = 10,
        adapt: str = "all",
        zero_head: bool = False,
        batch_norm: str = "inductive",
        vectorised: bool | str = "auto",
        n_episodes: int = 50000,
        meta_batch_size: int = 5,
        learning_rate: float = 1.0,
        schedule: str | Callable | None = "linear",
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
        self.adapt_steps = adapt_steps
        self.inner_learning_rate = inner_learning_rate
        self.inner_optimizer = inner_optimizer
        self.inner_batch_size = inner_batch_size
        self.adapt = adapt
        self.zero_head = zero_head
        self.batch_norm = batch_norm
        self.vectorised = vectorised

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        self._check_head()
        return ReptileMethod, {
            "part": self.adapt,
            "zero_head": self.zero_head,
            "batch_norm": self.batch_norm,
            "inner_steps": int(self.inner_steps),
            "adapt_steps": self._adapt_steps(),
            "inner_learning_rate": float(self.inner_learning_rate),
            "uses_adam": self.inner_optimizer == "adam",
            "inner_batch_size": self.inner_batch_size,
            "vectorised": self.vectorised,
        }

    def _optimizer(self) -> Any:
        return torch.optim.SGD  # without momentum: start <- start + rate * (mean of the tasks' weights - start)


class ReptileMethod(GradientMethod):
    """The difference between the start and a task's weights stands for the gradient.

    Parameters
    ----------
    encoder, n_outputs, part, batch_norm, vectorised, zero_head
        As in `GradientMethod`.
    inner_steps, adapt_steps : int
        Steps in meta-training, and for a new task.
    inner_learning_rate : float
        Of the steps.
    uses_adam : bool
        Whether they are Adam's, without momentum.
    inner_batch_size : int or None
        Support rows a step.
    """

    def __init__(
        self,
        encoder: Encoder,
        n_outputs: int,
        *,
        part: str,
        batch_norm: str,
        inner_steps: int,
        adapt_steps: int,
        inner_learning_rate: float,
        uses_adam: bool,
        inner_batch_size: int | None,
        vectorised: bool | str = "auto",
        zero_head: bool = False,
    ):
        super().__init__(
            encoder, n_outputs, part=part, batch_norm=batch_norm, vectorised=vectorised, zero_head=zero_head
        )
        self.inner_steps, self.adapt_steps = inner_steps, adapt_steps
        self.inner_learning_rate = inner_learning_rate
        self.uses_adam = uses_adam
        self.inner_batch_size = inner_batch_size

    def loop(self, n_steps: int) -> InnerLoop:
        """Return how a task is learned in so many steps."""
        return InnerLoop(n_steps, uses_adam=self.uses_adam, batch_size=self.inner_batch_size)

    def rates(self) -> list[dict[str, Tensor | float]]:
        """Return the rate of each parameter, the same at all steps."""
        return [dict.fromkeys(self.names, self.inner_learning_rate)]

    def adaptation(self) -> tuple[InnerLoop, list[dict[str, Tensor | float]]]:
        """Return the same steps as in meta-training, `adapt_steps` of them."""
        return self.loop(self.adapt_steps), self.rates()

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the queries' mean loss, with the start less the mean of the tasks' weights for a gradient."""
        n_outputs = outputs_of(episodes)
        start = self.start()

        def of_tasks(x: Tensor, y: Tensor, query: Tensor, query_y: Tensor, batched: bool) -> Any:
            loop = self.loop(self.inner_steps)
            weights = self.learned(start, self.rates(), x, y, n_outputs, loop, batched=batched)[-1]
            outputs = self.query_outputs(weights, x, query, n_outputs, batched=batched)
            return task_losses(outputs, query_y), outputs, weights

        with torch.no_grad():
            losses, outputs, weights = self.over_tasks(of_tasks, *episodes[:4])
            # t <- t + rate * mean_k (w_k - t)
            slopes = [start[name] - weights[name].mean(0) for name in start]
        return result(outputs, episodes.query_y, with_gradient(losses.mean(), list(start.values()), slopes))
