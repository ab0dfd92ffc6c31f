"""Conditional neural processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sktl._validation import MOST_LAYERS, MOST_UNITS
from sktl.fewshot.heads import State, class_means
from sktl.fewshot.meta_training._encoder_method import EncoderMethod
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._fitted_method import TaskState
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._method import FewShotMethod, task_loss
from sktl.fewshot.meta_training._set_encoder import SetEncoder
from sktl.fewshot.meta_training._task_embedding import EmbedsTasks
from sktl.fewshot.meta_training._task_inputs import perceptron

LIKELIHOODS = ("gaussian", "squared")
LEAST_DEVIATION = 0.02  # of a prediction, in standard deviations of the values


class ConditionalNeuralProcessLearner(EmbedsTasks, MetaLearner):
    """Meta-trains a network that averages what it makes of each support row, and answers by that: a neural process.

    For regressions, values are answered with how sure they are; for classes, the mean embedding of each class is
    compared with the query. The order of the support rows makes no difference, and a new task costs one pass. Hand it
    on as ``FewShotRegressor(learner=FrozenEstimator(learner))``, or `FewShotClassifier`.

    It departs from the paper in that the network is asked for one class at a time, so that a task may have any number.

    Parameters
    ----------
    hidden, n_layers : int, default=128, 3
        Units, and linear layers, of what embeds an example and of what answers.
    likelihood : {"gaussian", "squared"}, default="gaussian"
        What is learned of values: mean and deviation, by the density; or the mean alone, by its squared error.
    n_way, n_shot : int or (int, int), default=5, 1
        Classes an episode, and support rows a class (a task, for regressions). A range is drawn from: the ways for each
        batch, the shots for each class.
    n_query : int, default=15
        Query rows a class.
    n_episodes : int, default=40000
        Episodes in all.
    meta_batch_size : int, default=16
        Episodes an update.
    learning_rate : float, default=1e-3
        Of Adam, at its peak.
    schedule : str, callable(step, n_steps) or None, default="cosine"
        Factor of the rate, as in `ProtoNetLearner`.
    backbone : "auto", "conv4", "mlp", "identity", backbone name or Module, default="auto"
        As in `ProtoNetLearner`, but that "auto" is "identity" for feature rows: standardised rows go in as they are.
    rotations, validation_fraction, n_iter_no_change, warm_start, checkpoint_dir, image_shape, value_range
        As in `ProtoNetLearner`.
    image_size, callbacks, device, precision, random_state, verbose
        As in `ProtoNetLearner`.

    Attributes
    ----------
    n_iter_, history_, n_outputs_, n_features_in_
        As in `ProtoNetLearner`.

    References
    ----------
    .. [1] M. Garnelo, D. Rosenbaum, C. J. Maddison, T. Ramalho, D. Saxton, M. Shanahan, Y. W. Teh, D. J. Rezende and
       S. M. A. Eslami, "Conditional neural processes", ICML, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sktl.fewshot import ConditionalNeuralProcessLearner, FewShotRegressor
    >>> rng = np.random.default_rng(0)
    >>> task = np.repeat(np.arange(50), 20)
    >>> x = rng.uniform(-1, 1, (1000, 1))
    >>> y = rng.normal(size=50)[task] * x[:, 0]  # lines through the origin
    >>> learner = ConditionalNeuralProcessLearner(n_shot=5, n_episodes=800, random_state=0).fit(x, y, groups=task)
    >>> line = FewShotRegressor(learner=FrozenEstimator(learner)).fit([[0.5], [-1.0]], [1.0, -2.0])
    >>> line.predict([[0.7]]).shape
    (1,)
    >>> learner.deviations(line.state_, [[0.7]]).shape
    (1, 1)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetaLearner._parameter_constraints,
        "hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "n_layers": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
        "likelihood": [StrOptions(set(LIKELIHOODS))],
    }

    takes_values = True
    rows_backbone = "identity"

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 15,
        hidden: int = 128,
        n_layers: int = 3,
        likelihood: str = "gaussian",
        n_episodes: int = 40000,
        meta_batch_size: int = 16,
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
        self.n_layers = n_layers
        self.likelihood = likelihood

    def deviations(self, state: TaskState, X: Any) -> np.ndarray:
        """Return how sure a regression's values are: their standard deviations, after ``likelihood="gaussian"``.

        Parameters
        ----------
        state : TaskState
            What `adapt_to` returned, or `FewShotRegressor.state_`.
        X : array-like or sequence of pictures
            As in `fit`.

        Returns
        -------
        ndarray of shape (n, n_outputs), float64
        """
        check_is_fitted(self, "n_iter_")
        if not self.is_regression_ or self.likelihood != "gaussian":
            raise ValueError(
                "deviations are learned of regressions with likelihood='gaussian' alone; this "
                f"{type(self).__name__} was trained on {'regressions' if self.is_regression_ else 'classes'} with "
                f"likelihood={self.likelihood!r}."
            )
        return self._answered(state, X, lambda module, tensors, rows: module.deviations(tensors, rows))

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        return CNPMethod, {
            "hidden": int(self.hidden),
            "n_layers": int(self.n_layers),
            "likelihood": self.likelihood,
        }


class CNPMethod(EncoderMethod):
    """Embeds the support rows, averages, and decodes: values with their deviations, or one logit a class.

    Parameters
    ----------
    encoder : Encoder
        Rows to codes.
    n_outputs : int
        Values of a regression; classes may be any number.
    hidden, n_layers : int
        Units and linear layers of the encoder of examples, and of the decoder.
    likelihood : {"gaussian", "squared"}
        What a regression maximises: the density of the values, or minus the squared error of the means alone.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, *, hidden: int, n_layers: int, likelihood: str):
        super().__init__(encoder)
        (n_codes,) = encoder.code_shape
        self.likelihood = likelihood
        self.examples = SetEncoder(n_codes, n_outputs, hidden, n_layers)
        widths = [hidden] * (n_layers - 1)
        self.values = perceptron(n_codes + hidden, *widths, 2 * n_outputs)
        self.fit_of_class = perceptron(n_codes + 2 * hidden, *widths, 1)

    def adapt_codes(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return the mean embedding of the support set, and of each class where there are."""
        embedded, task = self.examples(support, y)
        if y.is_floating_point():
            return {"task": task}
        return {"task": task, "classes": class_means(embedded, y, n_outputs)}

    def task_embedding(self, support: Tensor, y: Tensor) -> Tensor:
        """Return the mean embedding of the support sets, (n_tasks, hidden)."""
        return self.examples(self.codes(support), y)[1]

    def answers(self, state: State, query: Tensor) -> Tensor:
        """Return logits, or the means of the values."""
        return self.distribution(state, query)[0] if "classes" not in state else self._logits(state, query)

    def outcome(
        self, support: Tensor, y: Tensor, query: Tensor, query_y: Tensor, n_outputs: int
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs, and the cross entropy, the Gaussian log loss or the squared error."""
        state = self.adapt_codes(support, y, n_outputs)
        if not y.is_floating_point():
            logits = self._logits(state, query)
            return logits, task_loss(logits, query_y)
        mean, deviation = self.distribution(state, query)
        std = self.examples.scale.std
        if self.likelihood == "squared":
            return mean, ((mean - query_y) / std).square().mean()
        # -log N(y; m, s) = ((y - m) / s)^2 / 2 + log s + log(2 pi) / 2
        errors = (query_y - mean) / deviation
        return mean, (errors.square() / 2 + (deviation / std).log()).mean() + math.log(2 * math.pi) / 2

    def deviations(self, state: State, query: Tensor) -> Tensor:
        """Return the standard deviations of the values for rows of queries."""
        return self.distribution(state, self.codes(query))[1]

    def distribution(self, state: State, query: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the values, (n_tasks, n_query, n_outputs) each."""
        task = state["task"].unsqueeze(1).expand(-1, query.shape[1], -1)
        mean, spread = self.values(torch.cat([query, task], -1)).chunk(2, -1)
        scale = self.examples.scale
        deviation = LEAST_DEVIATION + (1 - LEAST_DEVIATION) * F.softplus(spread)
        return scale.back(mean), deviation * scale.std

    def _logits(self, state: State, query: Tensor) -> Tensor:
        # z_k(q) = g(q, mean of class k, mean of the set)
        n_query, n_way = query.shape[1], state["classes"].shape[1]
        parts = (
            query.unsqueeze(2).expand(-1, -1, n_way, -1),
            state["classes"].unsqueeze(1).expand(-1, n_query, -1, -1),
            state["task"].unsqueeze(1).unsqueeze(1).expand(-1, n_query, n_way, -1),
        )
        return self.fit_of_class(torch.cat(parts, -1)).squeeze(-1)
