"""The LSTM meta-learner: how a support set changes the weights is learned, beside where they start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sktl.fewshot._adapted_method import AdaptedMethod
from sktl.fewshot._encoders import Encoder
from sktl.fewshot._episodes import Episodes
from sktl.fewshot._inner_loop import Parameters
from sktl.fewshot._meta_lstm import MetaLSTM, RuleState
from sktl.fewshot._method import outputs_of, task_losses
from sktl.training import StepResult


class MetaLSTMMethod(AdaptedMethod):
    """The weights are the cell state of an LSTM, whose gates say how far they follow the gradient.

    Parameters
    ----------
    encoder, n_outputs, part, batch_norm, vectorised
        As in `AdaptedMethod`.
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
