"""Simple neural attentive learners."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl._warn_once import warn_user
from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._episodes import as_range
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._method import FewShotMethod
from sktl.fewshot.model_based._sequence_method import SequenceMethod
from sktl.fewshot.model_based._temporal import CausalAttention, DenseConvolution

SHARES = ((0.5, 0.25), (2, 1), (4, 2))  # keys and values of the attention layers, in filters of a convolution


class SNAILLearner(MetaLearner):
    """Meta-trains a network of temporal convolutions and attention over the support set as a sequence: SNAIL.

    Convolutions that look back gather what the rows before say, attention picks out single ones of them. The query is
    the sequence's last element, without a label. Learning a task is reading it: what each layer keeps of the support
    set is the state, by which any number of queries are answered. Hand it on as
    ``FewShotClassifier(learner=FrozenEstimator(learner))``, or `FewShotRegressor`.

    It departs from the paper in that the convolutions' first dilation is 1, so that no row is left out; that an
    episode may have several queries, each of which comes last; and in how it starts: codes are centred, targets are as
    long as codes, and the keys of attention are its queries at first, or it is long before it leaves chance.

    Parameters
    ----------
    filters : int, default=128
        Of a convolution; the keys and values of the three attention layers are sized by it, as in the paper.
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
    The convolutions reach back over the longest support set of training. A longer one is read all the same, by
    attention alone beyond that reach; but it is like none that was trained on, and a warning says so. Episodes show
    the rows in random order, and new tasks are read in a fixed shuffle of the order given; another order gives a
    somewhat different answer. A task may have no more classes than the episodes had.

    References
    ----------
    .. [1] N. Mishra, M. Rohaninejad, X. Chen and P. Abbeel, "A simple neural attentive meta-learner", ICLR, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import SNAILLearner
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = SNAILLearner(n_way=3, n_episodes=32, filters=16, random_state=0).fit(X, y)
    >>> state = learner.adapt_to(X[[0, 20, 40]], y[[0, 20, 40]])
    >>> learner.logits(state, X).shape
    (60, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetaLearner._parameter_constraints,
        "filters": [Interval(Integral, 1, MOST_UNITS, closed="both")],
    }

    takes_values = True
    has_fixed_outputs = True
    clip_norm = 10.0

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 15,
        filters: int = 128,
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
        self.filters = filters

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        return SNAILMethod, {"filters": int(self.filters), "length": self._length()}

    def _length(self) -> int:
        """Return the rows of the longest support set in training."""
        n_shot = as_range(self.n_shot, "n_shot")[1]
        return n_shot * (1 if getattr(self, "is_regression_", False) else as_range(self.n_way, "n_way")[1])

    def _check_support(self, n_rows: int) -> None:
        if n_rows > self._length():
            warn_user(
                f"A support set of {n_rows} rows is longer than any that this {type(self).__name__} was trained on "
                f"({self._length()}); its answers may be worse for that. Train with more n_shot or n_way.",
            )


class SNAILMethod(SequenceMethod):
    """Attention, convolutions, attention, convolutions, attention, and a linear layer for the last row.

    Parameters
    ----------
    encoder, n_outputs
        As in `SequenceMethod`.
    filters : int
        Of a convolution; the sizes of keys and values go by it.
    length : int
        Of the longest support set in training; the convolutions reach back so far.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, *, filters: int, length: int):
        super().__init__(encoder, n_outputs)
        n_convolutions = max(1, length.bit_length())  # taps 1, 2, 4, ... back reach 2^n - 1 >= length rows
        n_in, layers = self.width, nn.ModuleList()
        for number, (keys, values) in enumerate(SHARES):
            for i in range(n_convolutions if number else 0):
                layers.append(DenseConvolution(n_in, filters, 2**i))
                n_in += filters
            layers.append(CausalAttention(n_in, max(1, int(filters * keys)), max(1, int(filters * values))))
            n_in += max(1, int(filters * values))
        self.layers = layers
        self.output = nn.Linear(n_in, n_outputs)

    @property
    def _looking_back(self) -> list[DenseConvolution | CausalAttention]:
        return list(self.layers)  # type: ignore[arg-type]

    def read(self, sequence: Tensor, is_real: Tensor) -> State:
        """Return what each layer keeps of the sequence."""
        state: State = {}
        for number, layer in enumerate(self._looking_back):
            sequence, kept = layer(sequence, is_real)
            state |= {f"{number}.{name}": value for name, value in kept.items()}
        return state

    def answer(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs at the row behind the sequence."""
        for number, layer in enumerate(self._looking_back):
            head = f"{number}."
            kept = {name.removeprefix(head): value for name, value in state.items() if name.startswith(head)}
            query = layer.ask(kept, query)
        return self.output(query)
