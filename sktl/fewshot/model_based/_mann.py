"""Networks with an external memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl._warn_once import warn_user
from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._method import FewShotMethod
from sktl.fewshot.model_based._memory import Memory, addresses, written
from sktl.fewshot.model_based._sequence_method import SequenceMethod

SHARPNESS = 10.0  # of addressing by content, at the start


class MANNLearner(MetaLearner):
    """Meta-trains a recurrent network that writes a support set to an external memory, and answers from it: MANN.

    An LSTM reads the rows of the support set with their labels one after the other. At each step it writes to where it
    read last, or to the slots that have gone unused for longest (least recently used access), and reads what is like
    its key. A query is one more step that writes nothing. Learning a task is reading it: no gradients. Hand it on as
    ``FewShotClassifier(learner=FrozenEstimator(learner))``, or `FewShotRegressor`.

    It departs from the paper in that a row comes together with its label and not with the one before; that each head
    has the unused slot of its own to write to; that the sharpness of the addressing is learned; and that codes are
    centred and targets as long as they.

    Parameters
    ----------
    hidden : int, default=200
        Units of the LSTM.
    n_slots, slot_size : int, default=128, 40
        Of the memory. A support row takes as many slots as there are heads; where the support set has more rows than
        that leaves room for, the ones unused for longest are overwritten, and a warning says so.
    n_heads : int, default=4
        Heads that read and write.
    decay : float, default=0.95
        What is left of a slot's usage after each step.
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
    Episodes show the rows in random order, and new tasks are read in a fixed shuffle of the order given; another order
    gives a somewhat different answer. A task may have no more classes than the episodes had.

    References
    ----------
    .. [1] A. Santoro, S. Bartunov, M. Botvinick, D. Wierstra and T. Lillicrap, "Meta-learning with memory-augmented
       neural networks", ICML, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import MANNLearner
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = MANNLearner(n_way=3, n_episodes=32, random_state=0).fit(X, y)
    >>> state = learner.adapt_to(X[[0, 20, 40]], y[[0, 20, 40]])
    >>> learner.logits(state, X).shape
    (60, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetaLearner._parameter_constraints,
        "hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "n_slots": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "slot_size": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "n_heads": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "decay": [Interval(Real, 0, 1, closed="both")],
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
        hidden: int = 200,
        n_slots: int = 128,
        slot_size: int = 40,
        n_heads: int = 4,
        decay: float = 0.95,
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
        self.n_slots = n_slots
        self.slot_size = slot_size
        self.n_heads = n_heads
        self.decay = decay

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        if self.n_heads > self.n_slots:
            raise ValueError(
                f"n_heads={self.n_heads} write to a slot each, but there are only n_slots={self.n_slots}. "
                "Give more slots, or fewer heads."
            )
        return MANNMethod, {
            "hidden": int(self.hidden),
            "n_slots": int(self.n_slots),
            "slot_size": int(self.slot_size),
            "n_heads": int(self.n_heads),
            "decay": float(self.decay),
        }

    def _check_support(self, n_rows: int) -> None:
        if n_rows * self.n_heads > self.n_slots:
            warn_user(
                f"A support set of {n_rows} rows is larger than this {type(self).__name__}'s memory holds: "
                f"{self.n_slots} slots, {self.n_heads} for each row. Slots unused for longest are overwritten. Train "
                f"with n_slots={n_rows * self.n_heads} or more to keep all.",
            )


class MANNMethod(SequenceMethod):
    """An LSTM reads the support rows, and writes each to the memory; queries only read.

    Parameters
    ----------
    encoder, n_outputs
        As in `SequenceMethod`.
    hidden : int
        Units of the LSTM.
    n_slots, slot_size, n_heads : int
        Of the memory.
    decay : float
        Of the slots' usage.
    """

    def __init__(
        self, encoder: Encoder, n_outputs: int, *, hidden: int, n_slots: int, slot_size: int, n_heads: int, decay: float
    ):
        super().__init__(encoder, n_outputs)
        self.n_slots, self.slot_size, self.n_heads, self.decay = n_slots, slot_size, n_heads, decay
        self.controller = nn.LSTMCell(self.width + n_heads * slot_size, hidden)
        self.keys = nn.Linear(hidden, n_heads * slot_size)
        self.gate = nn.Linear(hidden, n_heads)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(SHARPNESS)))
        self.output = nn.Linear(hidden + n_heads * slot_size, n_outputs)

    def read(self, sequence: Tensor, is_real: Tensor) -> State:
        """Return the memory, and where the controller has come to."""
        n_tasks = len(sequence)
        memory = Memory.empty(n_tasks, self.n_slots, self.slot_size, self.n_heads, sequence)
        hidden = cell = sequence.new_zeros(n_tasks, self.controller.hidden_size)
        seen = sequence.new_zeros(n_tasks, self.n_heads * self.slot_size)
        for row, real in zip(sequence.unbind(1), is_real.unbind(1)):
            after = self._step(row, hidden, cell, seen, memory)
            if bool(real.all()):
                hidden, cell, seen, memory = after
                continue
            hidden, cell, seen = (_where(real, new, old) for new, old in zip(after[:3], (hidden, cell, seen)))
            memory = Memory(*(_where(real, new, old) for new, old in zip(after[3], memory)))
        return {"hidden": hidden, "cell": cell, "seen": seen, "slots": memory.slots}

    def answer(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs of one further step for each query, which writes nothing."""
        n_tasks, n_query = query.shape[:2]
        hidden, cell, seen = (
            state[name].unsqueeze(1).expand(-1, n_query, -1).flatten(0, 1) for name in ("hidden", "cell", "seen")
        )
        hidden, _ = self.controller(torch.cat([query.flatten(0, 1), seen], -1), (hidden, cell))
        keys = self._keys(hidden).view(n_tasks, n_query * self.n_heads, -1)
        read = addresses(keys, state["slots"], self.log_sharpness.exp()) @ state["slots"]
        return self.output(torch.cat([hidden, read.reshape(len(hidden), -1)], -1)).view(n_tasks, n_query, -1)

    def _step(
        self, row: Tensor, hidden: Tensor, cell: Tensor, seen: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor, Memory]:
        hidden, cell = self.controller(torch.cat([row, seen], -1), (hidden, cell))
        gate = torch.sigmoid(self.gate(hidden)).unsqueeze(-1)
        memory = written(memory, self._keys(hidden), gate, self.log_sharpness.exp(), self.decay)
        return hidden, cell, (memory.reads @ memory.slots).flatten(1), memory

    def _keys(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.keys(hidden)).view(len(hidden), self.n_heads, self.slot_size)


def _where(real: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(real.view(-1, *[1] * (new.ndim - 1)), new, old)
