"""Reptile: the start moves towards where tasks end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sktl.fewshot._adapted_method import AdaptedMethod, with_gradient
from sktl.fewshot._encoders import Encoder
from sktl.fewshot._episodes import Episodes
from sktl.fewshot._inner_loop import InnerLoop
from sktl.fewshot._method import outputs_of, result, task_losses
from sktl.training import StepResult


class ReptileMethod(AdaptedMethod):
    """The difference between the start and a task's weights stands for the gradient.

    Parameters
    ----------
    encoder, n_outputs, part, batch_norm, vectorised, zero_head
        As in `AdaptedMethod`.
    inner_steps, adapt_steps : int
        Steps in meta-training, and for a new task.
    inner_learning_rate : float
        Of the steps.
    uses_adam : bool
        Whether they are Adam's, without momentum.
    inner_batch_size : int or None
        Support rows a step.
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
        inner_learning_rate: float,
        uses_adam: bool,
        inner_batch_size: int | None,
        vectorised: bool | str = "auto",
        zero_head: bool = False,
    ):
        super().__init__(
            encoder, n_outputs, part=part, batch_norm=batch_norm, vectorised=vectorised, zero_head=zero_head
        )
        self.inner_steps, self.adapt_steps = inner_steps, adapt_steps
        self.inner_learning_rate = inner_learning_rate
        self.uses_adam = uses_adam
        self.inner_batch_size = inner_batch_size

    def loop(self, n_steps: int) -> InnerLoop:
        """Return how a task is learned in so many steps."""
        return InnerLoop(n_steps, uses_adam=self.uses_adam, batch_size=self.inner_batch_size)

    def rates(self) -> list[dict[str, Tensor | float]]:
        """Return the rate of each parameter, the same at all steps."""
        return [dict.fromkeys(self.names, self.inner_learning_rate)]

    def adaptation(self) -> tuple[InnerLoop, list[dict[str, Tensor | float]]]:
        """Return the same steps as in meta-training, `adapt_steps` of them."""
        return self.loop(self.adapt_steps), self.rates()

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the queries' mean loss, with the start less the mean of the tasks' weights for a gradient."""
        n_outputs = outputs_of(episodes)
        start = self.start()

        def of_tasks(x: Tensor, y: Tensor, query: Tensor, query_y: Tensor, batched: bool) -> Any:
            loop = self.loop(self.inner_steps)
            weights = self.learned(start, self.rates(), x, y, n_outputs, loop, batched=batched)[-1]
            outputs = self.query_outputs(weights, x, query, n_outputs, batched=batched)
            return task_losses(outputs, query_y), outputs, weights

        with torch.no_grad():
            losses, outputs, weights = self.over_tasks(of_tasks, *episodes[:4])
            # t <- t + rate * mean_k (w_k - t)
            slopes = [start[name] - weights[name].mean(0) for name in start]
        return result(outputs, episodes.query_y, with_gradient(losses.mean(), list(start.values()), slopes))
