"""An LSTM that learns how weights are updated."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sktl._validation import MOST_STEPS, MOST_UNITS
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._method import FewShotMethod, outputs_of, task_losses
from sktl.fewshot.optimisation_based._base import GradientLearner
from sktl.fewshot.optimisation_based._gradient_method import GradientMethod
from sktl.fewshot.optimisation_based._inner_loop import Parameters
from sktl.training import StepResult

SCALE = 10.0  # p of the preprocessing: below exp(-p) a number counts as small
KEPT = 5.0  # bias of the forget gate at the start, which then keeps 0.993 of a weight a step
SPREAD = 0.01  # of the gates' weights at the start, to either side of 0


class MetaLSTMLearner(GradientLearner):
    """Meta-trains an LSTM that updates the weights of a network on a support set, and where they start.

    The weights are the LSTM's cell state [1]_: a step multiplies each by its forget gate and takes its gradient, times
    its input gate, from it. Both gates are sigmoids of the weight, of themselves a step ago, and of what another LSTM
    makes of the gradients and losses so far, each as two numbers of order 1 [2]_. One pair of gates serves all weights.
    Gradients and losses are constants to the meta-gradient, which goes through the weights' recurrence alone: there are
    no second derivatives. Hand it on as ``FewShotClassifier(learner=FrozenEstimator(learner))``, or `FewShotRegressor`.

    It departs from the paper in that an update is made from several episodes, that a step sees the whole support set,
    and in `batch_norm`. Where a start and few gradient steps will do, `MAMLLearner` is many times faster.

    Parameters
    ----------
    inner_steps : int, default=5
        Steps on a support set.
    adapt_steps : int, default=None
        Steps on the support set of a new task; None is `inner_steps`. It may be set anew after `fit`, but steps beyond
        those of meta-training were never learned, and can lead anywhere.
    inner_learning_rate : float, default=0.01
        Between 0 and 1: the input gate before training. At first a step is about one of gradient descent at this rate,
        less 0.7 % of each weight.
    hidden : int, default=20
        Units of the LSTM that reads gradients and losses. Its activations for each weight and step are kept for the
        meta-gradient: some ``35 * hidden`` bytes times weights, steps and tasks that go through the network together.
    adapt : {"all", "head", "body"}, default="all"
        Which layers a task changes: all, the linear head, or everything else.
    batch_norm : {"inductive", "transductive"}, default="inductive"
        Whether queries are normalised by the statistics of the support set, or by those of all queries they come with.
        The latter knows the other queries, and makes a prediction depend on its company. There are no running
        statistics.
    vectorised : bool or "auto", default="auto"
        Whether tasks go through the network together or one after another. "auto" is together, but for convolutions
        on a CPU.
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
        Of Adam on the LSTMs and the start, at its peak. Regressions want some 5e-3 to 1e-2.
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

    Raises
    ------
    InvalidParameterError
        In `fit`, if a parameter is out of its range, such as ``inner_steps=0``.
    DivergenceError
        In `adapt_to`, if steps leave the finite numbers.

    Notes
    -----
    Classes are numbered anew in each episode, so what the start itself predicts means nothing; only what it becomes
    after adaptation does. A task may have no more classes than the episodes had.

    References
    ----------
    .. [1] S. Ravi and H. Larochelle, "Optimization as a model for few-shot learning", ICLR, 2017.
    .. [2] M. Andrychowicz, M. Denil, S. Gomez, M. W. Hoffman, D. Pfau, T. Schaul, B. Shillingford and N. de Freitas,
       "Learning to learn by gradient descent by gradient descent", NeurIPS, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sktl.fewshot import FewShotRegressor, MetaLSTMLearner
    >>> rng = np.random.default_rng(0)
    >>> task = np.repeat(np.arange(50), 20)
    >>> x = rng.uniform(-1, 1, (1000, 1))
    >>> y = rng.normal(size=50)[task] * x[:, 0]  # lines through the origin
    >>> learner = MetaLSTMLearner(n_shot=5, n_episodes=200, random_state=0).fit(x, y, groups=task)
    >>> line = FewShotRegressor(learner=FrozenEstimator(learner)).fit([[0.5], [-1.0]], [1.0, -2.0])
    >>> line.predict([[0.7]]).shape
    (1,)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **GradientLearner._parameter_constraints,
        "inner_steps": [Interval(Integral, 1, MOST_STEPS, closed="both")],
        "adapt_steps": [Interval(Integral, 0, MOST_STEPS, closed="both"), None],
        "inner_learning_rate": [Interval(Real, 0, 1, closed="neither")],
        "hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
    }

    clip_norm = 0.25  # at 10, regressions are learned far more slowly

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 15,
        inner_steps: int = 5,
        adapt_steps: int | None = None,
        inner_learning_rate: float = 0.01,
        hidden: int = 20,
        adapt: str = "all",
        batch_norm: str = "inductive",
        vectorised: bool | str = "auto",
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
        self.adapt_steps = adapt_steps
        self.inner_learning_rate = inner_learning_rate
        self.hidden = hidden
        self.adapt = adapt
        self.batch_norm = batch_norm
        self.vectorised = vectorised

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        return MetaLSTMMethod, {
            "part": self.adapt,
            "batch_norm": self.batch_norm,
            "inner_steps": int(self.inner_steps),
            "adapt_steps": self._adapt_steps(),
            "hidden": int(self.hidden),
            "inner_learning_rate": float(self.inner_learning_rate),
            "vectorised": self.vectorised,
        }


class MetaLSTMMethod(GradientMethod):
    """The weights are the cell state of an LSTM, whose gates say how far they follow the gradient.

    Parameters
    ----------
    encoder, n_outputs, part, batch_norm, vectorised
        As in `GradientMethod`.
    inner_steps, adapt_steps : int
        Steps in meta-training, and for a new task.
    hidden : int
        Units of the LSTM that reads gradients and losses.
    inner_learning_rate : float
        Of the steps as they are before training.
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
        hidden: int,
        inner_learning_rate: float,
        vectorised: bool | str = "auto",
    ):
        super().__init__(encoder, n_outputs, part=part, batch_norm=batch_norm, vectorised=vectorised)
        self.inner_steps, self.adapt_steps = inner_steps, adapt_steps
        self.rule = MetaLSTM(hidden, inner_learning_rate)

    def after_steps(
        self, start: Parameters, x: Tensor, y: Tensor, n_outputs: int, n_steps: int, *, batched: bool
    ) -> Parameters:
        """Return the weights after so many steps on a support set, of one task or of several."""
        weights = self.started(start, x, y, n_outputs, batched=batched)
        state: RuleState | None = None
        for _ in range(n_steps):
            # gradients and losses are constants to what learns from them: no second derivatives
            losses, slopes = self.slopes(weights, x, y, n_outputs, batched=batched)
            flat = _flat(weights, batched)
            after, state = self.rule(
                flat.flatten(), _flat(slopes, batched).flatten(), losses.unsqueeze(-1).expand_as(flat).flatten(), state
            )
            weights = _like(weights, after.view_as(flat))
        return weights

    def adapted(self, start: Parameters, x: Tensor, y: Tensor, n_outputs: int, *, batched: bool) -> Parameters:
        """Return the weights after `adapt_steps`."""
        return self.after_steps(start, x, y, n_outputs, self.adapt_steps, batched=batched)

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the queries' mean loss after the steps; its gradient goes through the weights' recurrence."""
        n_outputs = outputs_of(episodes)
        start = self.start()

        def of_tasks(x: Tensor, y: Tensor, query: Tensor, query_y: Tensor, batched: bool) -> Any:
            weights = self.after_steps(start, x, y, n_outputs, self.inner_steps, batched=batched)
            outputs = self.query_outputs(weights, x, query, n_outputs, batched=batched)
            return task_losses(outputs, query_y), outputs.detach()

        return self.mean_loss(of_tasks, episodes)


def _flat(weights: Parameters, batched: bool) -> Tensor:
    """Return all weights in a row: (n,), or (n_tasks, n)."""
    return torch.cat([value.flatten(int(batched)) for value in weights.values()], -1)


def _like(weights: Parameters, flat: Tensor) -> Parameters:
    """Return the row as weights of these names and shapes."""
    lead = flat.shape[:-1]
    sizes = [value.shape[len(lead) :].numel() for value in weights.values()]
    return {n: part.reshape(value.shape) for (n, value), part in zip(weights.items(), flat.split(sizes, -1))}


class RuleState(NamedTuple):
    """What is remembered of each of n weights beside itself. They lie along the last axis: a gate is then one row."""

    hidden: Tensor  # (hidden, n), of the first LSTM
    memory: Tensor  # (hidden, n), its cell state
    gates: Tensor  # (2, n): the input gate and the forget gate


def preprocessed(values: Tensor) -> Tensor:
    """Return two numbers of order 1 for each value, (2, n), whatever its order is."""
    # (log|x| / p, sign x) where |x| >= exp(-p), else (-1, exp(p) x)
    size = values.abs().clamp_min(math.exp(-SCALE)).log() / SCALE
    return torch.stack([size, (math.exp(SCALE) * values).clamp(-1, 1)])


def updated(weights: Tensor, slopes: Tensor, input_gate: Tensor, forget_gate: Tensor) -> Tensor:
    """Return the weights after a step."""
    # c_t = f_t c_{t-1} + i_t (-g_t):  gradient descent, with f = 1 and i the rate
    return forget_gate * weights - input_gate * slopes


class MetaLSTM(nn.Module):
    """One step's rule, the same for each weight: an LSTM reads its gradient and the loss, and two gates the LSTM.

    Parameters
    ----------
    hidden : int
        Units of the first LSTM.
    learning_rate : float
        In (0, 1): about what the input gate lets in at the start.
    """

    def __init__(self, hidden: int, learning_rate: float):
        super().__init__()
        self.hidden = hidden
        self.units = nn.Linear(4 + hidden, 4 * hidden)  # input, forget and output gates, and what is let in
        self.gates = nn.Linear(hidden + 1, 2)
        self.before = nn.Parameter(torch.empty(2, 1))  # weights of what the gates were a step ago
        nn.init.uniform_(self.gates.weight, -SPREAD, SPREAD)
        nn.init.uniform_(self.before, -SPREAD, SPREAD)
        with torch.no_grad():
            self.gates.bias.copy_(torch.tensor([math.log(learning_rate / (1 - learning_rate)), KEPT]))

    def started(self, weights: Tensor) -> RuleState:
        """Return the state before the first step on weights (n,): zeros."""
        zeros = weights.new_zeros(self.hidden, len(weights))
        return RuleState(zeros, zeros, weights.new_zeros(2, len(weights)))

    def forward(
        self, weights: Tensor, slopes: Tensor, losses: Tensor, state: RuleState | None = None
    ) -> tuple[Tensor, RuleState]:
        """Return the weights after one more step, and the state.

        Parameters
        ----------
        weights, slopes, losses : Tensor (n,)
            The weights, the loss's gradient with respect to each, and the loss of the task that each belongs to.
        state : RuleState, default=None
            Of the step before; None starts.
        """
        state = self.started(weights) if state is None else state
        # h_t, m_t = LSTM([prep(g_t), prep(L_t)], h_{t-1}, m_{t-1})
        read = torch.cat([preprocessed(slopes), preprocessed(losses), state.hidden])
        drives = torch.addmm(self.units.bias.unsqueeze(-1), self.units.weight, read)
        let_in, keep, show = torch.sigmoid(drives[: 3 * self.hidden]).chunk(3)
        memory = keep * state.memory + let_in * torch.tanh(drives[3 * self.hidden :])
        hidden = show * torch.tanh(memory)
        # i_t = sigmoid(W_I [h_t, c_{t-1}, i_{t-1}] + b_I),   f_t = sigmoid(W_F [h_t, c_{t-1}, f_{t-1}] + b_F)
        known = torch.cat([hidden, weights.unsqueeze(0)])
        drives = torch.addmm(self.gates.bias.unsqueeze(-1), self.gates.weight, known)
        gates = torch.sigmoid(drives + self.before * state.gates)
        return updated(weights, slopes, gates[0], gates[1]), RuleState(hidden, memory, gates)
