"""A network that emits the parameters of a classifier from the support set, all in one pass."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sktl.fewshot._encoders import Encoder
from sktl.fewshot._episodes import Episodes
from sktl.fewshot._film import modulated_by, with_film
from sktl.fewshot._method import FewShotMethod, result
from sktl.fewshot._set_encoder import SetEncoder
from sktl.fewshot._task_inputs import perceptron
from sktl.fewshot.heads import State, class_means
from sktl.training import StepResult

FACTOR, SHIFT = "factor:", "shift:"  # what the names in a state begin with
STEP = 0.1  # of the emitted numbers: they start near 0


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
