"""Conditional neural processes: the support set becomes one vector, by which a network answers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sktl.fewshot._coded_method import CodedMethod
from sktl.fewshot._encoders import Encoder
from sktl.fewshot._method import task_loss
from sktl.fewshot._set_encoder import SetEncoder
from sktl.fewshot._task_inputs import perceptron
from sktl.fewshot.heads import State, class_means

LIKELIHOODS = ("gaussian", "squared")
LEAST_DEVIATION = 0.02  # of a prediction, in standard deviations of the values


class CNPMethod(CodedMethod):
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
