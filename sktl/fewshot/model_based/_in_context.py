"""Transformers that learn tasks in context."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sktl._validation import MOST_LAYERS, MOST_UNITS
from sktl.fewshot.heads import State, class_means, squared_distances
from sktl.fewshot.meta_training._encoder_method import EncoderMethod
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._method import FewShotMethod
from sktl.fewshot.meta_training._task_inputs import real_rows, zeroed
from sktl.fewshot.model_based._random_networks import random_network_codes


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
    n_episodes : int, default=8000
        Episodes in all: one or two minutes on a processor for codes. Pictures, whose network learns too, want more,
        40,000 say.
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

    rows_backbone = "identity"

    def __init__(
        self,
        backbone: str | nn.Module = "auto",
        *,
        n_way: int | tuple[int, int] = 5,
        n_shot: int | tuple[int, int] = 1,
        n_query: int = 5,
        width: int = 128,
        n_layers: int = 2,
        n_heads: int = 4,
        normalise: bool = True,
        synthetic: float = 0.0,
        n_episodes: int = 8000,
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


class ContextLayer(nn.Module):
    """Attention to the support rows, in which rows of the same class are told from others, and a perceptron.

    Parameters
    ----------
    width, n_heads : int
        Of the tokens, and into how many parts attention takes them.
    """

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.before_attention, self.before_change = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.keys_values = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.read = nn.Linear(width, width)
        self.change = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.kinship = nn.Parameter(torch.linspace(-2.0, 2.0, n_heads))  # what the same class adds to a score
        zeroed(self.read)  # at first, tokens stay as they are
        zeroed(self.change[2])

    def context(self, support: Tensor) -> Tensor:
        """Return keys and values (n_tasks, n_support, 2 width) of support tokens."""
        return self.keys_values(self.before_attention(support))

    def forward(self, tokens: Tensor, context: Tensor, is_kin: Tensor, is_real: Tensor) -> Tensor:
        """Return the tokens (n_tasks, n, width), changed by what they read.

        Parameters
        ----------
        tokens : Tensor (n_tasks, n, width)
        context : Tensor (n_tasks, n_support, 2 width)
        is_kin : bool Tensor (n_tasks, n, n_support)
            Whether a token and a support row have the same label.
        is_real : bool Tensor (n_tasks, n_support)
            Which support rows are none of padding.
        """
        # softmax(Q K' / sqrt(d) + b [y_i = y_j]) V
        query, (key, value) = self.query(self.before_attention(tokens)), context.chunk(2, -1)
        query, key, value = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (query, key, value))
        bias = self.kinship.view(1, -1, 1, 1) * is_kin.unsqueeze(1).to(query.dtype)
        bias = bias.masked_fill(~is_real.view(len(is_real), 1, 1, -1), -torch.inf)
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        tokens = tokens + self.read(read.transpose(1, 2).flatten(-2))
        return tokens + self.change(self.before_change(tokens))


class NearSpace(nn.Module):
    """A space of codes that starts as their own, and is changed along some directions.

    Parameters
    ----------
    n_codes, n_directions : int
        Of the codes, and how many directions are read and written.
    """

    def __init__(self, n_codes: int, n_directions: int):
        super().__init__()
        self.read = nn.Linear(n_codes, n_directions, bias=False)
        self.write = nn.Linear(n_directions, n_codes, bias=False)
        nn.init.zeros_(self.write.weight)

    def forward(self, codes: Tensor) -> Tensor:
        """Return codes of the same shape (..., n_codes)."""
        # x + W R x: codes of classes unlike those of training keep their distances
        return codes + self.write(self.read(codes))


class InContextMethod(EncoderMethod):
    """Each query is put in once for each class, as if it were of that class; the network says how well that fits.

    To that comes the distance of the query to the class means, in a space that is learned: before training the
    network is one of prototypes, of the codes as they are.

    Parameters
    ----------
    encoder : Encoder
        Rows to codes.
    n_outputs : int
        Not needed: tasks may have any number of classes.
    width, n_layers, n_heads : int
        Of the transformer.
    normalise : bool
        Whether codes are brought to mean 0 and length sqrt(n_codes), each by itself.
    synthetic : float
        Share of the tasks in meta-training that are of random networks.
    """

    def __init__(
        self,
        encoder: Encoder,
        n_outputs: int,
        *,
        width: int,
        n_layers: int,
        n_heads: int,
        normalise: bool,
        synthetic: float,
    ):
        super().__init__(encoder)
        (n_codes,) = encoder.code_shape
        self.synthetic = synthetic
        self.norm: nn.Module = nn.LayerNorm(n_codes, elementwise_affine=False) if normalise else nn.Identity()
        self.token = nn.Linear(n_codes, width)
        self.space = NearSpace(n_codes, min(n_codes, width))
        self.layers = nn.ModuleList(ContextLayer(width, n_heads) for _ in range(n_layers))
        self.fit_of_class = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(n_codes)))

    @property
    def _context_layers(self) -> list[ContextLayer]:
        return list(self.layers)  # type: ignore[arg-type]

    def adapt_codes(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return what each layer lets be read of the support rows, their classes, and the class means."""
        support = self.norm(support)
        is_kin, is_real = y.unsqueeze(2) == y.unsqueeze(1), real_rows(y)
        tokens, state = self.token(support), State()
        for number, layer in enumerate(self._context_layers):
            state[f"context{number}"] = layer.context(tokens)
            if number + 1 < len(self.layers):
                tokens = layer(tokens, state[f"context{number}"], is_kin, is_real)
        return {**state, "y": y, "means": class_means(self.space(support), y, n_outputs)}

    def answers(self, state: State, query: Tensor) -> Tensor:
        """Return one logit a class: how near its mean is, and how well the query fits as one of its rows."""
        query = self.norm(query)
        means, y = state["means"], state["y"]
        n_query, n_way = query.shape[1], means.shape[1]
        labels = torch.arange(n_way, device=y.device).repeat(n_query)  # of the tokens, query by query
        is_kin = (labels.view(1, -1, 1) == y.unsqueeze(1)).expand(len(y), -1, -1)
        tokens = self.token(query).repeat_interleave(n_way, 1)  # (n_tasks, n_query * n_way, width)
        for number, layer in enumerate(self._context_layers):
            tokens = layer(tokens, state[f"context{number}"], is_kin, real_rows(y))
        fits = self.fit_of_class(tokens).view(-1, n_query, n_way)
        return fits - self.log_scale.exp() * squared_distances(self.space(query), means)

    def outcome(
        self, support: Tensor, y: Tensor, query: Tensor, query_y: Tensor, n_outputs: int
    ) -> tuple[Tensor, Tensor]:
        """Return logits and loss; in training, some of the tasks are replaced by those of random networks."""
        if self.training and self.synthetic > 0:
            is_replaced = torch.rand(len(support), device=support.device) < self.synthetic
            codes = random_network_codes(torch.cat([y, query_y], 1), n_outputs, support.shape[-1])
            codes = torch.where(is_replaced.view(-1, 1, 1), codes.to(support.dtype), torch.cat([support, query], 1))
            support, query = codes.split([support.shape[1], query.shape[1]], 1)
        return super().outcome(support, y, query, query_y, n_outputs)
