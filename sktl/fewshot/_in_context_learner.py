"""Transformers that learn tasks in context."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from sktl._validation import MOST_LAYERS, MOST_UNITS
from sktl.fewshot._base import MetaLearner
from sktl.fewshot._in_context_method import InContextMethod
from sktl.fewshot._method import FewShotMethod


class InContextLearner(MetaLearner):
    """Meta-trains a transformer that reads support set and queries, and classifies them in one pass.

    It is made for codes, of any backbone: what it learns from many tasks is how the rows of a support set tell what
    matters in it. Rows attend to the support rows, and know which are of the same class; each query is put in once for
    each class, as if it were of that class. So the order of rows and the names of classes make no difference, tasks
    may have more classes than there were in training, and queries do not see each other. The network starts as
    one of prototypes, and learns what to do better. Hand it on as
    ``FewShotClassifier(learner=FrozenEstimator(learner))``.

    It follows the idea of prior-data fitted networks [1]_ and of in-context classification of codes [2]_; other than
    these it has no embeddings of labels, so that equivalence of classes is built in, not learned by shuffling.

    Parameters
    ----------
    width, n_layers, n_heads : int, default=128, 2, 4
        Of the transformer; `n_heads` divides `width`.
    normalise : bool, default=True
        Whether each code is brought to mean 0 and to the same length, as suits the codes of networks. Rows of a table,
        whose single features mean something, want False.
    synthetic : float, default=0.0
        Share of the episodes that are replaced by tasks of random networks [1]_: 1.0 learns from these alone, and
        takes from the data no more than what rows look like.
    n_way, n_shot : int or (int, int), default=5, 1
        Classes an episode, and support rows a class. A range is drawn from: the ways for each batch, the shots
        for each class.
    n_query : int, default=5
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
    .. [1] S. Müller, N. Hollmann, S. Pineda Arango, J. Grabocka and F. Hutter, "Transformers can do Bayesian
       inference", ICLR, 2022.
    .. [2] C. Fifty, D. Duan, R. G. Junkins, E. Amid, J. Leskovec, C. Ré and S. Thrun, "Context-aware meta-learning",
       ICLR, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import InContextLearner
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)) + np.repeat(3 * np.eye(4)[[0, 1, 2]], 20, axis=0), np.repeat(list("abc"), 20)
    >>> learner = InContextLearner(n_way=3, n_episodes=32, random_state=0).fit(X, y)
    >>> state = learner.adapt_to(X[[0, 20, 40]], y[[0, 20, 40]])
    >>> learner.logits(state, X).shape
    (60, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetaLearner._parameter_constraints,
        "width": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "n_layers": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
        "n_heads": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "normalise": ["boolean"],
        "synthetic": [Interval(Real, 0, 1, closed="both")],
    }

    rows_module = "identity"

    def __init__(
        self,
        module: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 5,
        width: int = 128,
        n_layers: int = 2,
        n_heads: int = 4,
        normalise: bool = True,
        synthetic: float = 0.0,
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
        self.width = width
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.normalise = normalise
        self.synthetic = synthetic

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        if self.width % self.n_heads:
            raise ValueError(f"n_heads={self.n_heads} must divide width={self.width}.")
        return InContextMethod, {
            "width": int(self.width),
            "n_layers": int(self.n_layers),
            "n_heads": int(self.n_heads),
            "normalise": bool(self.normalise),
            "synthetic": float(self.synthetic),
        }
