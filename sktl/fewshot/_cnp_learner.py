"""Conditional neural processes."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._validation import MOST_LAYERS, MOST_UNITS
from sktl.fewshot._base import MetaLearner
from sktl.fewshot._cnp_method import LIKELIHOODS, CNPMethod
from sktl.fewshot._learned import TaskState
from sktl.fewshot._method import FewShotMethod
from sktl.fewshot._task_embedding import EmbedsTasks


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
    module : "auto", "conv4", "mlp", "identity", backbone name or Module, default="auto"
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
    rows_module = "identity"

    def __init__(
        self,
        module: str | nn.Module = "auto",
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
            module=module, n_way=n_way, n_shot=n_shot, n_query=n_query, n_episodes=n_episodes,
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
